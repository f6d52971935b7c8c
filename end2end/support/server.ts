// The real binary on free ports, with a data folder of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

export type Server = {
  /** `http://127.0.0.1:PORT` */
  web: string;
  smtp: Address;
  stop(): Promise<void>;
};

export type Address = { host: string; port: number };

const START_MS = 60_000;

/** Starts `magpie serve --demo`; what `settings` names is configured otherwise than by default. */
export async function startServer(settings: Record<string, string>): Promise<Server> {
  const data = await mkdtemp(path.join(tmpdir(), 'magpie-end2end-'));
  const process_ = spawn(binary(), ['serve', '--demo'], {
    cwd: data,
    env: { ...environment(), ...ANYWHERE, ...settings, MAGPIE_DATA_DIR: data },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  try {
    const lines = await ready(process_, said);
    const address = (name: string) => {
      const line = lines.find((line) => line.startsWith(`${name}: `));
      if (!line) throw new Error(`the server does not say where ${name} is:\n${said.join('\n')}`);
      return line.slice(name.length + 2);
    };
    return {
      web: address('web'),
      smtp: parse(address('smtp')),
      stop: async () => {
        await stop(process_);
        await rm(data, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await stop(process_);
    throw error;
  }
}

/** Where the service would otherwise listen on fixed ports, and hold back who tests quickly. */
const ANYWHERE = {
  MAGPIE_HTTP__LISTEN: '127.0.0.1:0',
  MAGPIE_SMTP__LISTEN: '127.0.0.1:0',
  MAGPIE_SUBMISSION__LISTEN: '127.0.0.1:0',
  MAGPIE_SUBMISSIONS__LISTEN: '127.0.0.1:0',
  MAGPIE_IMAP__LISTEN: '127.0.0.1:0',
  MAGPIE_IMAPS__LISTEN: '127.0.0.1:0',
  MAGPIE_POP3__LISTEN: '127.0.0.1:0',
  MAGPIE_POP3S__LISTEN: '127.0.0.1:0',
  MAGPIE_LIMITS__LOGINS_PER_MINUTE: '10000',
  MAGPIE_LIMITS__REQUESTS_PER_MINUTE: '100000',
};

function binary(): string {
  const binary = process.env.SERVER_BINARY;
  if (!binary) throw new Error('SERVER_BINARY names no binary: run `cargo xtask test --browser`');
  return binary;
}

/** This process' environment without settings for some other Magpie. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MAGPIE_')));
}

/** The lines that the server prints up to `ready`. */
function ready(process_: ChildProcess, said: string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`the server ${why}:\n${said.join('\n')}`));
    const timer = setTimeout(() => fail('is not ready'), START_MS);
    process_.once('error', (error) => fail(`does not start (${error.message})`));
    process_.once('exit', (code) => fail(`stopped with ${code}`));
    for (const stream of [process_.stdout, process_.stderr]) {
      createInterface({ input: stream! }).on('line', (line) => {
        if (said.length < 200) said.push(line);
        if (line !== 'ready') return;
        clearTimeout(timer);
        resolve(said);
      });
    }
  });
}

async function stop(process_: ChildProcess): Promise<void> {
  if (process_.exitCode !== null || process_.signalCode !== null) return;
  const gone = new Promise((resolve) => process_.once('exit', resolve));
  process_.kill('SIGTERM');
  const timer = setTimeout(() => process_.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(timer);
}

function parse(address: string): Address {
  const [host, port] = address.split(':');
  return { host, port: Number(port) };
}
