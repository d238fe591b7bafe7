import { matrixTests } from './matrix-cases.js';

matrixTests('cpu', false);
