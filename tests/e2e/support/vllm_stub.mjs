// A stub of vLLM's server, after its documented API: no model, but its prefix cache (blocks of 16
// "tokens" of 4 characters, chained, apart for each cache_salt), its errors, and its streams.
import { createServer } from 'node:http';
import { once } from 'node:events';

import { atEnd } from './cleanup.mjs';

const kBlock = 16 * 4;

const textOf = (content) =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join('');

// What a chat template makes of a request.
const promptOf = (body) =>
  JSON.stringify(body.tools ?? []) +
  body.messages.map(({ role, content }) => `<|${role}|>${textOf(content)}`).join('');

const errorOf = (code, type, message, param = null) => ({
  code,
  body: { error: { message, type, param, code } },
});

export class VllmStub {
  static async start(t, { model = 'm', port = 0 } = {}) {
    const stub = new VllmStub();
    stub.model = model;
    stub.server = createServer((request, response) => stub.#serve(request, response));
    stub.server.listen(port, '127.0.0.1');
    await once(stub.server, 'listening');
    atEnd(t, () => stub.stop());
    return stub;
  }

  requests = [];
  healthy = true;
  #cached = new Set();

  get name() {
    return `127.0.0.1:${this.server.address().port}`;
  }
  get url() {
    return `http://${this.name}/v1`;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  async #serve(request, response) {
    let text = '';
    for await (const piece of request) text += piece;
    if (request.url === '/health') return response.writeHead(this.healthy ? 200 : 503).end();
    if (request.url === '/v1/models') {
      return this.#send(response, 200, {
        object: 'list',
        data: [{ id: this.model, object: 'model', owned_by: 'vllm' }],
      });
    }
    const wrong = this.#check(request, text);
    if (wrong) return this.#send(response, wrong.code, wrong.body);
    const body = JSON.parse(text);
    this.requests.push({ body, text, headers: request.headers });
    const usage = this.#usage(body);
    return body.stream
      ? this.#stream(response, body, usage)
      : this.#send(response, 200, this.#answer(usage));
  }

  #send(response, status, body) {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #check(request, text) {
    if (request.url !== '/v1/chat/completions') return errorOf(404, 'NotFoundError', 'Not Found');
    let body;
    try {
      body = JSON.parse(text);
    } catch (error) {
      return errorOf(400, 'BadRequestError', error.message);
    }
    if (body.model !== this.model) {
      const message = `The model \`${body.model}\` does not exist.`;
      return errorOf(404, 'NotFoundError', message, 'model');
    }
    if ('cache_salt' in body && (typeof body.cache_salt !== 'string' || body.cache_salt === '')) {
      const message = "Parameter 'cache_salt' must be a non-empty string if provided.";
      return errorOf(400, 'BadRequestError', message);
    }
    return undefined;
  }

  #usage(body) {
    const prompt = promptOf(body);
    let cached = 0;
    for (let end = kBlock; end <= prompt.length; end += kBlock) {
      const key = `${body.cache_salt ?? ''}|${prompt.slice(0, end)}`;
      if (this.#cached.has(key) && cached === end - kBlock) cached = end;
      this.#cached.add(key);
    }
    return {
      prompt_tokens: Math.ceil(prompt.length / 4),
      total_tokens: Math.ceil(prompt.length / 4) + 2,
      completion_tokens: 2,
      prompt_tokens_details: { cached_tokens: cached / 4 },
    };
  }

  #answer(usage) {
    const message = { role: 'assistant', content: `from ${this.name}` };
    return {
      id: 'chatcmpl-stub',
      object: 'chat.completion',
      created: 1,
      model: this.model,
      choices: [{ index: 0, message, finish_reason: 'stop' }],
      usage,
    };
  }

  async #stream(response, body, usage) {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const wanted = body.stream_options?.include_usage;
    const send = (choices, more = wanted ? { usage: null } : {}) =>
      response.write(
        `data: ${JSON.stringify({
          id: 'chatcmpl-stub',
          object: 'chat.completion.chunk',
          created: 1,
          model: this.model,
          choices,
          ...more,
        })}\n\n`,
      );
    send([{ index: 0, delta: { role: 'assistant', content: '' } }]);
    for (const content of ['from ', this.name]) {
      send([{ index: 0, delta: { content } }]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    send([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    if (wanted) send([], { usage });
    response.end('data: [DONE]\n\n');
  }
}
