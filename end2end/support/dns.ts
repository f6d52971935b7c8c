// The domain name system as far as mail needs it: MX and A records of a zone of our own (RFC 1035 §4).
import { type Socket, createSocket } from 'node:dgram';

const A = 1;
const MX = 15;

/** Domains with the address of their one mail server; every other name does not exist. */
export class Zone {
  private constructor(
    private readonly socket: Socket,
    /** `127.0.0.1:PORT` */
    readonly address: string,
  ) {}

  static async serve(domains: Record<string, string>): Promise<Zone> {
    const socket = createSocket('udp4');
    socket.on('message', (query, peer) => socket.send(answer(query, domains), peer.port, peer.address));
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return new Zone(socket, `127.0.0.1:${socket.address().port}`);
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.socket.close(() => resolve()));
  }
}

function answer(query: Buffer, domains: Record<string, string>): Buffer {
  const { name, end } = readName(query, 12);
  const type = query.readUInt16BE(end);
  const question = query.subarray(12, end + 4);
  const records: Buffer[] = [];
  const server = Object.entries(domains).find(([domain]) => name === domain || name === `mx.${domain}`);
  if (server && type === MX && name === server[0]) {
    records.push(record(MX, Buffer.concat([Buffer.from([0, 10]), writeName(`mx.${name}`)])));
  }
  if (server && type === A && name !== server[0]) {
    records.push(record(A, Buffer.from(server[1].split('.').map(Number))));
  }
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  // An authoritative answer; with "no such name" where there is none.
  header.writeUInt16BE(server ? 0x8580 : 0x8583, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, question, ...records]);
}

/** A record for the name that was asked for. */
function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(60, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function readName(bytes: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  while (bytes[at] !== 0) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + bytes[at]));
    at += 1 + bytes[at];
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function writeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}
