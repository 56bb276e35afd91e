// What clients should not send: each time a clear error, and the server goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Server } from './support/server.mjs';
import { Socket, requestBytes } from './support/socket.mjs';

const kChat = '/v1/chat/completions';
const kMessages = [{ role: 'user', content: 'What swims?' }];
const chat = (extra) => ({ messages: kMessages, max_tokens: 2, ...extra });
const nested = (depth) => `{"messages": ${'['.repeat(depth)}${']'.repeat(depth)}}`;

function assertError(answer, { status, param, code, message } = {}) {
  const { error } = typeof answer.body === 'string' ? JSON.parse(answer.body) : answer.body;
  assert.equal(answer.status, status, JSON.stringify(error));
  assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
  assert.ok(typeof error.message === 'string' && error.message.length > 0);
  assert.ok(error.message.length < 1000, 'the message repeats the input');
  assert.ok(typeof error.type === 'string' && error.type.length > 0);
  if (param !== undefined) assert.equal(error.param, param);
  if (code !== undefined) assert.equal(error.code, code);
  if (message !== undefined) assert.match(error.message, message);
}

async function assertServes(server) {
  assert.ok(server.alive);
  const answer = await server.post(kChat, chat());
  assert.equal(answer.object, 'chat.completion');
  const { sequences, queue_depth } = await server.stats();
  assert.equal(sequences.busy + queue_depth, 0);
}

// [what, body, what the error is like]
const kBodies = [
  ['no body', '', { status: 400 }],
  ['an unfinished body', '{"messages": [', { status: 400, code: 'invalid_json' }],
  ['a place in the JSON', '{\n"a": ?}', { status: 400, message: /line 2, column 6/ }],
  ['no object', '[1, 2]', { status: 400 }],
  ['text behind the object', '{} {}', { status: 400, code: 'invalid_json' }],
  ['invalid UTF-8', Buffer.from('{"messages": "\xff\xfe"}', 'latin1'), { status: 400 }],
  ['deep nesting', nested(200), { status: 400, message: /deep/ }],
  ['very deep nesting', nested(1_000_000), { status: 400, message: /deep/ }],
  ['a number beyond range', '{"temperature": 1e999}', { status: 400 }],
  ['no messages', {}, { status: 400, param: 'messages' }],
  ['empty messages', chat({ messages: [] }), { status: 400, param: 'messages' }],
  ['messages of a wrong type', chat({ messages: 'hi' }), { status: 400, param: 'messages' }],
  ['a message that is null', chat({ messages: [null] }), { status: 400, param: 'messages[0]' }],
  [
    'a message without role',
    chat({ messages: [{ content: 'hi' }] }),
    { status: 400, param: 'messages[0].role' },
  ],
  [
    'content of a wrong type',
    chat({ messages: [{ role: 'user', content: 7 }] }),
    { status: 400, param: 'messages[0].content' },
  ],
  [
    'an image',
    chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }),
    { status: 400, param: 'messages[0].content[0].type' },
  ],
  ['another model', chat({ model: 'gpt-9' }), { status: 404, code: 'model_not_found' }],
  ['a model that is no name', chat({ model: 7 }), { status: 400, param: 'model' }],
  ['negative max_tokens', chat({ max_tokens: -1 }), { status: 400, param: 'max_tokens' }],
  ['half a token', chat({ max_tokens: 1.5 }), { status: 400, param: 'max_tokens' }],
  ['endless max_tokens', chat({ max_tokens: 1e30 }), { status: 400, param: 'max_tokens' }],
  ['temperature', chat({ temperature: 'hot' }), { status: 400, param: 'temperature' }],
  ['top_p', chat({ top_p: -0.1 }), { status: 400, param: 'top_p' }],
  ['stream', chat({ stream: 'yes' }), { status: 400, param: 'stream' }],
  ['an empty stop', chat({ stop: '' }), { status: 400, param: 'stop' }],
  ['several answers', chat({ n: 2 }), { status: 400, param: 'n' }],
  ['logit_bias', chat({ logit_bias: { no: 1 } }), { status: 400, param: 'logit_bias' }],
  [
    'a tool choice without tools',
    chat({ tool_choice: 'required' }),
    { status: 400, param: 'tool_choice' },
  ],
  ['a broken grammar', chat({ grammar: 'root ::= (' }), { status: 400 }],
  ['a fidelity', chat({ spolia: { fidelity: 'best' } }), { status: 400, param: 'spolia.fidelity' }],
  ['a policy', chat({ spolia: { policy: 'magic' } }), { status: 400, param: 'spolia.policy' }],
  [
    'a recompute ratio',
    chat({ spolia: { recompute_ratio: 0 } }),
    { status: 400, param: 'spolia.recompute_ratio' },
  ],
  [
    'a field that is not there',
    chat({ spolia: { fidelty: 'exact' } }),
    { status: 400, param: 'spolia.fidelty', message: /fidelity, policy/ },
  ],
  [
    'a prompt longer than the context',
    chat({ messages: [{ role: 'user', content: 'otter '.repeat(2000) }] }),
    { status: 400, code: 'context_length_exceeded', message: /2048/ },
  ],
];

test('bodies', async (t) => {
  const server = await Server.start(t);
  for (const [what, body, expected] of kBodies) {
    await t.test(what, async () => {
      const isJson = typeof body === 'object' && !Buffer.isBuffer(body);
      const bytes = isJson ? JSON.stringify(body) : body;
      for (const path of [kChat, '/v1/plan']) {
        if (path === '/v1/plan' && ['a broken grammar', 'no messages'].includes(what)) continue;
        const response = await fetch(server.url + path, { method: 'POST', body: bytes });
        assertError({ status: response.status, body: await response.json() }, expected);
      }
    });
  }

  await t.test('other surfaces', async () => {
    const bad = async (method, path, body, expected) =>
      assertError(await server.ask(method, path, body), expected);
    await bad('POST', '/v1/completions', {}, { status: 400, param: 'prompt' });
    await bad('POST', '/v1/completions', { prompt: [-1] }, { status: 400, param: 'prompt' });
    await bad('PUT', '/v1/chunks', {}, { status: 400, param: 'text' });
    await bad('PUT', '/v1/chunks', { texts: [7] }, { status: 400, param: 'texts' });
    const misspelt = { text: 'short', nam: 'x' };
    await bad('PUT', '/v1/chunks', misspelt, { status: 400, param: 'nam', message: /name/ });
    await bad('PUT', '/v1/chunks', { text: 'short' }, { status: 400, message: /at least/ });
    await bad('GET', '/v1/chunks/no-key', undefined, { status: 400, param: 'key' });
    await bad('POST', '/tokenize', { content: 7 }, { status: 400, param: 'content' });
    await bad('POST', '/detokenize', { tokens: [1e9] }, { status: 400, param: 'tokens' });
    await bad('POST', '/v1/embeddings', { input: 'x' }, { status: 501 });
  });

  await t.test('wrong methods and paths', async () => {
    const wrong = await server.ask('GET', kChat);
    assertError(wrong, { status: 405, code: 'method_not_allowed' });
    assert.match(wrong.headers.get('allow'), /POST/);
    assertError(await server.ask('POST', '/v1/models', {}), { status: 405 });
    assertError(await server.ask('GET', '/v1/nothing'), { status: 404, code: 'not_found' });
    assertError(await server.ask('POST', '/v1/chat/completions/', {}), { status: 404 });
    assertError(await server.ask('GET', '/..%2f..%2fetc/passwd'), { status: 404 });
  });

  await t.test('a body of 10 MB, while others are served', async () => {
    const messages = [{ role: 'user', content: 'otter and heron '.repeat(10 * 2 ** 16) }];
    let answered = false;
    const long = server.ask('POST', kChat, chat({ messages })).finally(() => (answered = true));
    let nServed = 0;
    for (; !answered; ++nServed) await server.post(kChat, chat());
    assert.ok(nServed > 0);
    assertError(await long, {
      status: 400,
      code: 'context_length_exceeded',
    });
  });

  await t.test('the server goes on', () => assertServes(server));
});

test('bodies and headers beyond their limits', async (t) => {
  const args = ['--body-max', '64K', '--header-max', '4K'];
  const server = await Server.start(t, { args });
  const long = chat({ messages: [{ role: 'user', content: 'x'.repeat(100_000) }] });
  assertError(await server.ask('POST', kChat, long), { status: 413, message: /65536/ });
  const headers = { 'x-long': 'x'.repeat(8000) };
  assertError(await server.ask('GET', '/v1/models', undefined, { headers }), {
    status: 431,
    message: /4096/,
  });

  const socket = await Socket.open(t, server);
  socket.send(`POST ${kChat} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`);
  for (let i = 0; i < 10; ++i) socket.send(`4000\r\n${' '.repeat(0x4000)}\r\n`);
  assertError(await socket.answer(), { status: 413 });
  await assertServes(server);
});

test('connections', async (t) => {
  const args = ['--header-timeout', '300', '--body-timeout', '300', '--idle-timeout', '2000'];
  const server = await Server.start(t, { args });

  await t.test('no HTTP', async (t) => {
    const hello = Buffer.from('160301020001000001fc0303', 'hex');
    for (const bytes of ['hello\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', hello]) {
      const socket = await Socket.open(t, server);
      socket.send(bytes);
      if (bytes === hello) socket.stream.end();
      const answer = await socket.answer().catch(() => null);
      if (bytes !== hello) assertError(answer, { status: 400 });
      await socket.closed;
    }
  });

  await t.test('contradictory lengths', async (t) => {
    for (const length of ['-1', '1, 2', 'ten', '99999999999999999999']) {
      const socket = await Socket.open(t, server);
      socket.send(requestBytes('POST', kChat, chat(), { 'content-length': length }));
      const { status } = await socket.answer();
      assert.ok(status === 400 || status === 413, `length ${length}: ${status}`);
      await socket.closed;
    }
  });

  await t.test('headers that dribble in', async (t) => {
    const socket = await Socket.open(t, server);
    let closed = false;
    socket.closed.then(() => (closed = true));
    socket.send(`POST ${kChat} HTTP/1.1\r\n`);
    for (let i = 0; !closed && i < 200; ++i) {
      socket.send(`x-${i}: y\r\n`);
      await sleep(20);
    }
    assert.ok(closed, 'the server waits for ever');
  });

  await t.test('bodies that stall, while others are served', async (t) => {
    const whole = requestBytes('POST', kChat, chat());
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => Socket.open(t, server)),
    );
    for (const socket of sockets) socket.send(whole.slice(0, -10));
    await assertServes(server);
    await Promise.all(sockets.map((socket) => socket.closed));
    await assertServes(server);
  });

  await t.test('clients that say nothing', async (t) => {
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => Socket.open(t, server)),
    );
    await assertServes(server);
    for (const socket of sockets) socket.stream.destroy();
  });

  await t.test('clients that only listen any more count as gone', async (t) => {
    const endless = chat({ max_tokens: 1900, ignore_eos: true, stream: true });
    const socket = await Socket.open(t, server, { allowHalfOpen: true });
    socket.send(requestBytes('POST', kChat, endless));
    await server.until(({ sequences }) => sequences.busy === 1, 'the request runs');
    socket.stream.end();
    await server.until(({ sequences }) => sequences.busy === 0, 'no sequence is busy');
    await socket.closed;
  });

  await t.test('clients that vanish within a request', async (t) => {
    const whole = requestBytes('POST', kChat, chat({ max_tokens: 500, ignore_eos: true }));
    for (const end of [1, 20, whole.length - 10, whole.length]) {
      const socket = await Socket.open(t, server);
      socket.send(whole.slice(0, end));
      await sleep(5);
      socket.stream.resetAndDestroy();
    }
    await server.idle();
    await assertServes(server);
  });

  await t.test('chunked bodies', async (t) => {
    const head = `POST ${kChat} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`;
    const text = JSON.stringify(chat());
    const chunks = [...text].map((character) => `1\r\n${character}\r\n`).join('');
    const good = await Socket.open(t, server);
    const answer = await good.send(`${head}${chunks}0\r\n\r\n`).answer();
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(answer.body).object, 'chat.completion');

    const bad = await Socket.open(t, server);
    assertError(await bad.send(`${head}zz\r\n{}\r\n0\r\n\r\n`).answer(), { status: 400 });
  });

  await t.test('requests sent ahead are answered in order', async (t) => {
    const socket = await Socket.open(t, server);
    const ahead = [1, 2, 3].map((n) =>
      requestBytes('POST', kChat, chat({ max_tokens: n, ignore_eos: true })),
    );
    socket.send(ahead.join(''));
    for (const n of [1, 2, 3]) {
      const { body } = await socket.answer();
      assert.equal(JSON.parse(body).usage.completion_tokens, n);
    }
  });

  await t.test('the server goes on', () => assertServes(server));
});

test('more connections than are allowed', async (t) => {
  const server = await Server.start(t, { args: ['--connections-max', '3'] });
  const held = [];
  for (let i = 0; i < 3; ++i) {
    const socket = await Socket.open(t, server);
    const { status } = await socket.send(requestBytes('GET', '/health', '')).answer();
    assert.equal(status, 200);
    held.push(socket);
  }
  const refused = await (await Socket.open(t, server)).answer();
  assertError(refused, { status: 503, code: 'too_many_connections' });
  assert.match(refused.header, /retry-after/i);
  for (const socket of held) socket.stream.destroy();
  await Promise.all(held.map((socket) => socket.closed));
  for (let attempt = 0; ; ++attempt) {
    const socket = await Socket.open(t, server);
    const { status } = await socket.send(requestBytes('GET', '/health', '')).answer();
    socket.stream.destroy();
    if (status === 200) break;
    assert.ok(attempt < 100, 'closed connections still count');
    await sleep(20);
  }
});
