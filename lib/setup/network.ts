import { type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { SetupError } from '../errors.js';
import type { Limits } from './download.js';
import { withoutSecrets } from './environment.js';

function requireProxyAddresses(): void {
  for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']) {
    const value = process.env[name];
    if (!value || /^https?:$/.test(URL.canParse(value) ? new URL(value).protocol : '')) continue;
    throw new SetupError(
      `${name}: expected the address of a proxy like 'http://host:3128', got '${withoutSecrets(value)}'`,
    );
  }
}

/**
 * Connections that go through the proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY (in either case of letters).
 * @throws SetupError for a proxy that is no http or https address
 */
export function connections({ connect, idle }: Limits): Dispatcher {
  requireProxyAddresses();
  const timeout = { timeout: connect };
  const options = { connect: timeout, proxyTls: timeout, requestTls: timeout };
  // It warns once that it may change, which is of no use to who runs a command.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return new EnvHttpProxyAgent({ ...options, headersTimeout: idle, bodyTimeout: idle });
  } finally {
    process.emitWarning = emitWarning;
  }
}
