// Both ends of SMTP: a client that sends, and servers of other domains that receive.
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { type Server as NetServer, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import type { Address } from './server';

/** Hands a mail in, and is done with the 250 after it. */
export async function send(server: Address, from: string, to: string, mail: string): Promise<void> {
  const socket = connect(server.port, server.host).setNoDelay();
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const expectCode = async (code: string) => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`hung up, ${code} was expected`);
      if (!value.startsWith(code)) throw new Error(`${code} was expected, not: ${value}`);
      if (value[3] !== '-') return;
    }
  };
  const say = async (line: string, code: string) => {
    socket.write(`${line}\r\n`);
    await expectCode(code);
  };
  try {
    await expectCode('220');
    await say('EHLO client.example.org', '250');
    await say(`MAIL FROM:<${from}>`, '250');
    await say(`RCPT TO:<${to}>`, '250');
    await say('DATA', '354');
    await say(`${mail.replace(/^\./gm, '..')}\r\n.`, '250');
  } finally {
    socket.end('QUIT\r\n');
  }
}

/** A port that is free on every loopback address that the tests use. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Postfix' own test server, which keeps what it is sent in files. */
export class SmtpSink {
  private constructor(
    private readonly folder: string,
    private readonly stopProcess: () => Promise<void>,
  ) {}

  static async start(at: Address): Promise<SmtpSink> {
    const folder = await mkdtemp(path.join(tmpdir(), 'smtp-sink-'));
    // As root it must change to another user, who must be able to write there.
    await chmod(folder, 0o777);
    const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    const args = [...user, '-d', `${folder}/mail.`, `${at.host}:${at.port}`, '16'];
    const sink = spawn('smtp-sink', args, { stdio: 'ignore', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    const gone = new Promise<void>((resolve) => sink.once('exit', () => resolve()));
    await answers(at);
    return new SmtpSink(folder, async () => {
      sink.kill();
      await gone;
      await rm(folder, { recursive: true, force: true });
    });
  }

  /** Every mail so far, with the envelope as `X-…-Args` fields before it. */
  async mails(): Promise<string[]> {
    const files = await readdir(this.folder);
    return Promise.all(files.sort().map((file) => readFile(path.join(this.folder, file), 'utf8')));
  }

  stop(): Promise<void> {
    return this.stopProcess();
  }
}

/** Resolves as soon as somebody greets at this address. */
async function answers(at: Address): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    const greeted = await new Promise<boolean>((resolve) => {
      const socket = connect(at.port, at.host);
      socket.once('data', () => resolve(true)).once('error', () => resolve(false));
      socket.once('data', () => socket.end('QUIT\r\n'));
    });
    if (greeted) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nobody answers at ${at.host}:${at.port}`);
}

/** A server that refuses every recipient, in words of its own. */
export class Refuser {
  private constructor(
    private readonly server: NetServer,
    private readonly sockets: Set<Socket>,
  ) {}

  static async listen(at: Address, refusal: string): Promise<Refuser> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      converse(socket, refusal);
    });
    await new Promise<void>((resolve) => server.listen(at.port, at.host, resolve));
    return new Refuser(server, sockets);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

function converse(socket: Socket, refusal: string): void {
  socket.on('error', () => {});
  socket.write('220 mx.refuses.test ESMTP\r\n');
  createInterface({ input: socket }).on('line', (line) => {
    const verb = line.split(' ')[0].toUpperCase();
    const reply = verb === 'RCPT' ? refusal : verb === 'QUIT' ? '221 bye' : verb === 'DATA' ? '554 no recipients' : '250 ok';
    socket.write(`${reply}\r\n`);
    if (verb === 'QUIT') socket.end();
  });
}
