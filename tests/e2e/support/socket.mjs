import { once } from 'node:events';
import { connect } from 'node:net';

import { atEnd } from './cleanup.mjs';

// A plain connection to the server, for what HTTP clients would not send.
export class Socket {
  static async open(t, server, options = {}) {
    const socket = new Socket();
    socket.stream = connect({ port: server.port, host: '127.0.0.1', ...options });
    socket.received = '';
    socket.stream.on('data', (data) => (socket.received += data.toString('latin1')));
    socket.stream.on('error', () => {}); // a reset: `closed` follows
    socket.closed = once(socket.stream, 'close');
    atEnd(t, () => socket.stream.destroy());
    await once(socket.stream, 'connect');
    return socket;
  }

  send(bytes) {
    this.stream.write(bytes);
    return this;
  }

  // Waits for a whole answer that is not chunked, and takes it from what was received.
  async answer() {
    for (;;) {
      const match = /^HTTP\/1\.[01] (\d+)[^]*?\r\n\r\n/.exec(this.received);
      const length = match && /content-length: (\d+)/i.exec(match[0]);
      const size = match && match[0].length + Number(length?.[1] ?? 0);
      if (match && this.received.length >= size) {
        const body = this.received.slice(match[0].length, size);
        this.received = this.received.slice(size);
        return { status: Number(match[1]), header: match[0], body };
      }
      if (this.stream.destroyed) throw new Error(`closed after ${JSON.stringify(this.received)}`);
      await Promise.race([once(this.stream, 'data'), this.closed]);
    }
  }
}

// A request as its bytes; the body may be text or JSON.
export function requestBytes(method, path, body, headers = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const all = { host: 'localhost', 'content-length': Buffer.byteLength(text), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${text}`;
}
