import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { atEnd } from './cleanup.mjs';
import { cleanEnvironment } from './program.mjs';
import { OpenAI, model, program } from './settings.mjs';

const kStartMs = 30_000;
const kWaitMs = 20_000;
const kLogLinesMax = 2000;
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

// `spolia serve` on a free port. Ends with the test that it is given to.
export class Server {
  // A launcher is a command line that the program's own is appended to. `until`: what it logs when
  // the test may go on.
  static async start(
    t,
    { named = ['--model', model, '--alias', 'tiny'], args = [], env = {}, launcher = [], until = 'ready' } = {},
  ) {
    const server = new Server();
    const line = [
      ...launcher,
      ...[program, 'serve', ...named, '--port', '0', '--log-format', 'json'],
      // What is reused must not depend on how busy the machine is.
      ...['--ctx-size', '2048', '--threads', '1', '--reuse-by-cost', 'false', ...args],
    ];
    server.child = spawn(line[0], line.slice(1), {
      env: cleanEnvironment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(server.child);
    server.exited = once(server.child, 'exit').then(([code, signal]) => {
      running.delete(server.child);
      return { code, signal };
    });
    atEnd(t, () => server.stop('SIGKILL'));
    await server.#becomeReady(until);
    return server;
  }

  log = [];

  #becomeReady(message) {
    return new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${why}; its log:\n${this.log.join('\n')}`));
      const timer = setTimeout(() => fail('the server does not become ready'), kStartMs);
      const take = (line) => {
        this.log.push(line);
        if (this.log.length > kLogLinesMax) this.log.shift();
        if (!line.includes(`"message":"${message}"`)) return;
        clearTimeout(timer);
        this.port = JSON.parse(line).port;
        resolve();
      };
      createInterface({ input: this.child.stdout }).on('line', take);
      createInterface({ input: this.child.stderr }).on('line', take);
      this.exited.then(({ code, signal }) => {
        clearTimeout(timer);
        fail(`the server ended with ${signal ?? code}`);
      });
    });
  }

  get alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async stop(signal = 'SIGTERM') {
    if (this.alive) this.child.kill(signal);
    return this.exited;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  client(options = {}) {
    return new OpenAI({
      baseURL: `${this.url}/v1`,
      apiKey: 'none',
      maxRetries: 0,
      timeout: 60_000,
      ...options,
    });
  }

  // The answer's status, headers and body, parsed where it is JSON.
  async ask(method, path, body, { key, headers = {} } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers },
      body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const json = response.headers.get('content-type')?.startsWith('application/json');
    return {
      status: response.status,
      headers: response.headers,
      body: json ? JSON.parse(text) : text,
    };
  }

  async #succeed(method, path, body, options) {
    const answer = await this.ask(method, path, body, options);
    if (answer.status !== 200) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  get(path, options) {
    return this.#succeed('GET', path, undefined, options);
  }
  post(path, body, options) {
    return this.#succeed('POST', path, body, options);
  }
  put(path, body, options) {
    return this.#succeed('PUT', path, body, options);
  }

  stats(options) {
    return this.get('/v1/cache/stats', options);
  }

  // A metric's value, e.g. spolia_requests_total{result="stop"}; 0 where there is none yet.
  async metric(name, options) {
    const text = await this.get('/metrics', options);
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return line ? Number(line.slice(name.length + 1)) : 0;
  }

  // Waits until what is looked up meets a condition; returns it.
  async #poll(look, condition, what) {
    let seen;
    for (const end = Date.now() + kWaitMs; Date.now() < end; await sleep(10)) {
      seen = await look();
      if (condition(seen)) return seen;
    }
    throw new Error(`waited in vain until ${what}: ${JSON.stringify(seen)}`);
  }

  until(condition, what, options) {
    return this.#poll(() => this.stats(options), condition, what);
  }

  // A value, or what must hold of it.
  untilMetric(name, wanted) {
    const holds = typeof wanted === 'function' ? wanted : (value) => value === wanted;
    return this.#poll(() => this.metric(name), holds, `${name} is ${wanted}`);
  }

  // Waits until so many lines of the log have a text.
  untilLogged(text, n = 1) {
    const look = async () => this.log.filter((line) => line.includes(text)).length;
    return this.#poll(look, (found) => found >= n, `'${text}' is logged`);
  }

  untilEncoded(nChunks) {
    const look = () => this.metric('spolia_chunks_encoded_total');
    return this.#poll(look, (n) => n === nChunks, `${nChunks} chunks are encoded`);
  }

  // Waits until no request runs or waits, and no chunk waits to be encoded.
  idle(options) {
    const quiet = ({ sequences, queue_depth, encode_queue_depth }) =>
      sequences.busy === 0 && queue_depth === 0 && encode_queue_depth === 0;
    return this.until(quiet, 'the server is idle', options);
  }
}
