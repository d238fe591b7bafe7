import { goldenTests } from './golden-cases.js';

goldenTests('cpu', false);
