/** What the tests of this folder share: the device, and why they are skipped. */
import { cudaIsAvailable, type Device } from '../../lib/tensor/index.js';

const asked = process.env['SPIKENODE_TEST_DEVICE'];

/** 'cpu' with SPIKENODE_TEST_DEVICE=cpu, which shows that the tests themselves work; else 'cuda'. */
export const device: Device = asked === 'cpu' ? 'cpu' : 'cuda';

export const isPresent: boolean = device === 'cpu' || cudaIsAvailable();

/** Without a GPU the tests are skipped; with SPIKENODE_TEST_DEVICE=cuda that is a failure. */
export const skip: string | false = isPresent || asked === 'cuda' ? false : 'no CUDA device is present';
