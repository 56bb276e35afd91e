import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { atEnd } from './cleanup.mjs';
import { cleanEnvironment } from './program.mjs';
import { llamaServer, model } from './settings.mjs';

const kStartMs = 60_000;
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// The folder for slot files of one test, in memory.
export function slotFolder(t) {
  const folder = mkdtempSync('/dev/shm/spolia-test-');
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// An unmodified llama-server on a free port, or on the one given. Ends with the test.
export class LlamaServer {
  static async start(t, { folder, file = model, port, args = [], slots = 2 } = {}) {
    const server = new LlamaServer();
    server.folder = folder;
    server.file = file;
    server.port = port ?? (await freePort());
    const saving = folder ? ['--slot-save-path', `${folder}/`] : [];
    const line = [
      ...['--model', file, '--host', '127.0.0.1', '--port', `${server.port}`, '--jinja'],
      ...['--ctx-size', `${2048 * slots}`, '--parallel', `${slots}`, '--threads', '1'],
      ...['--cache-ram', '0', ...saving, ...args],
    ];
    server.child = spawn(llamaServer, line, {
      env: cleanEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    server.child.stderr.on('data', (data) => (server.log = (server.log + data).slice(-20_000)));
    running.add(server.child);
    server.exited = once(server.child, 'exit').then(() => running.delete(server.child));
    atEnd(t, () => server.stop('SIGKILL'));
    await server.#becomeReady();
    return server;
  }

  log = '';

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #becomeReady() {
    for (const end = Date.now() + kStartMs; Date.now() < end; await sleep(50)) {
      if (this.child.exitCode !== null) break;
      const health = await fetch(`${this.url}/health`).catch(() => null);
      if (health?.ok) return;
    }
    throw new Error(`llama-server does not become ready; its log:\n${this.log}`);
  }

  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    return this.exited;
  }

  async post(path, body) {
    const response = await fetch(this.url + path, { method: 'POST', body: JSON.stringify(body) });
    return response.json();
  }
}
