// OpenAI's own client against `spolia serve`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { cachedWhenRepeated } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { OpenAI, model } from './support/settings.mjs';

const kMessages = [
  { role: 'system', content: 'You answer in one word.' },
  { role: 'user', content: 'What swims in the river?' },
];

// A greedy chat request; `extra` is merged in.
const chatRequest = (extra = {}) => ({
  model: 'tiny',
  messages: kMessages,
  temperature: 0,
  max_tokens: 16,
  ...extra,
});

// The random model never stops by itself soon enough.
const kEndless = { max_tokens: 3000, ignore_eos: true };

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

const rejectionOfAbort = (promise) => assert.rejects(promise, OpenAI.APIUserAbortError);

async function rejection(promise, kind) {
  const error = await promise.then(
    () => assert.fail('the request succeeded'),
    (failure) => failure,
  );
  assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
  assert.equal(typeof error.error.message, 'string');
  assert.ok(error.error.message.length > 0);
  assert.equal(typeof error.type, 'string');
  return error;
}

describe('chat', () => {
  test('answers with text and usage', async (t) => {
    const server = await Server.start(t);
    const client = server.client();
    const first = await client.chat.completions.create(chatRequest());
    assert.equal(first.object, 'chat.completion');
    assert.match(first.id, /^chatcmpl-/);
    assert.equal(first.model, 'tiny');
    assert.equal(first.choices.length, 1);
    assert.equal(first.choices[0].message.role, 'assistant');
    assert.ok(first.choices[0].message.content.length > 0);
    assert.ok(['stop', 'length'].includes(first.choices[0].finish_reason));
    assert.ok(first.usage.completion_tokens <= 16);
    const { prompt_tokens, completion_tokens, total_tokens } = first.usage;
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
    assert.equal(first.usage.prompt_tokens_details.cached_tokens, 0);

    const again = await client.chat.completions.create(chatRequest());
    assert.notEqual(again.id, first.id);
    assert.equal(again.choices[0].message.content, first.choices[0].message.content);
    assert.equal(again.usage.prompt_tokens_details.cached_tokens, cachedWhenRepeated(prompt_tokens));
  });

  test('streams the same text, with usage only where it is asked for', async (t) => {
    const server = await Server.start(t);
    const client = server.client();
    const whole = await client.chat.completions.create(chatRequest());

    const plain = await collect(
      await client.chat.completions.create(chatRequest({ stream: true })),
    );
    assert.equal(textOf(plain), whole.choices[0].message.content);
    assert.equal(new Set(plain.map((chunk) => chunk.id)).size, 1);
    assert.ok(plain.every((chunk) => chunk.object === 'chat.completion.chunk'));
    assert.ok(plain.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
    assert.equal(plain[0].choices[0].delta.role, 'assistant');
    assert.equal(plain.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
    assert.ok(plain.slice(0, -1).every((chunk) => chunk.choices[0].finish_reason === null));

    const counted = await collect(
      await client.chat.completions.create(
        chatRequest({ stream: true, stream_options: { include_usage: true } }),
      ),
    );
    assert.equal(textOf(counted), whole.choices[0].message.content);
    assert.deepEqual(counted.at(-1).choices, []);
    const { prompt_tokens, completion_tokens } = whole.usage;
    assert.equal(counted.at(-1).usage.prompt_tokens, prompt_tokens);
    assert.equal(counted.at(-1).usage.completion_tokens, completion_tokens);
    assert.equal(
      counted.at(-1).usage.prompt_tokens_details.cached_tokens,
      cachedWhenRepeated(prompt_tokens),
    );
    assert.ok(counted.slice(0, -1).every((chunk) => !chunk.usage));
  });

  test('ends at a stop string, which is not part of the answer', async (t) => {
    const server = await Server.start(t);
    const client = server.client();
    const whole = await client.chat.completions.create(chatRequest());
    const text = whole.choices[0].message.content;
    const stop = /[a-z]{3}/.exec(text.slice(4))?.[0];
    assert.ok(stop, `no plain letters to stop at in ${JSON.stringify(text)}`);
    const expected = text.slice(0, text.indexOf(stop));

    for (const value of [stop, ['never said', stop]]) {
      const stopped = await client.chat.completions.create(chatRequest({ stop: value }));
      assert.equal(stopped.choices[0].message.content, expected);
      assert.equal(stopped.choices[0].finish_reason, 'stop');
    }
    const chunks = await collect(
      await client.chat.completions.create(chatRequest({ stop, stream: true })),
    );
    assert.equal(textOf(chunks), expected);
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  });

  test('ends at max_tokens', async (t) => {
    const server = await Server.start(t);
    for (const limit of [{ max_tokens: 3 }, { max_completion_tokens: 3, max_tokens: undefined }]) {
      const answer = await server
        .client()
        .chat.completions.create(chatRequest({ ...limit, ignore_eos: true }));
      assert.equal(answer.usage.completion_tokens, 3);
      assert.equal(answer.choices[0].finish_reason, 'length');
    }
  });

  test('repeats itself with the same seed only', async (t) => {
    const server = await Server.start(t);
    const say = async (seed) => {
      const request = chatRequest({ temperature: 1, seed, max_tokens: 24, ignore_eos: true });
      const answer = await server.client().chat.completions.create(request);
      return answer.choices[0].message.content;
    };
    assert.equal(await say(7), await say(7));
    assert.notEqual(await say(7), await say(8));
  });
});

test('completions', async (t) => {
  const server = await Server.start(t);
  const client = server.client();
  const request = { model: 'tiny', prompt: 'The otter swims', temperature: 0, max_tokens: 8 };
  const whole = await client.completions.create(request);
  assert.equal(whole.object, 'text_completion');
  assert.match(whole.id, /^cmpl-/);
  assert.ok(whole.choices[0].text.length > 0);
  const { tokens } = await server.post('/tokenize', {
    content: request.prompt,
    add_special: true,
  });
  assert.equal(whole.usage.prompt_tokens, tokens.length);

  const chunks = await collect(await client.completions.create({ ...request, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), whole.choices[0].text);
  const fromIds = await client.completions.create({ ...request, prompt: tokens });
  assert.equal(fromIds.choices[0].text, whole.choices[0].text);
});

test('models', async (t) => {
  const server = await Server.start(t, { args: ['--alias', 'ours'] });
  const models = await collect(await server.client().models.list());
  assert.deepEqual(
    models.map(({ id, object }) => ({ id, object })),
    [{ id: 'ours', object: 'model' }],
  );
  const answer = await server.client().chat.completions.create(chatRequest({ model: 'ours' }));
  assert.equal(answer.model, 'ours');
});

describe('answers under a grammar', () => {
  const schema = {
    type: 'object',
    properties: {
      city: { enum: ['Rome', 'Oslo'] },
      days: { type: 'integer', minimum: 1, maximum: 9 },
    },
    required: ['city', 'days'],
    additionalProperties: false,
  };
  const assertFits = (json) => {
    const value = JSON.parse(json);
    assert.deepEqual(Object.keys(value).sort(), ['city', 'days']);
    assert.ok(['Rome', 'Oslo'].includes(value.city));
    assert.ok(Number.isInteger(value.days) && value.days >= 1 && value.days <= 9);
  };
  const tool = (name) => ({
    type: 'function',
    function: { name, description: 'Tells the weather.', parameters: schema },
  });

  // llama.cpp's grammar lets a model talk before it calls. The random model would talk for ever
  // unless it is made to open the call, which the template has begin with a brace.
  const toolRequest = async (server, extra) => {
    const [brace] = (await server.post('/tokenize', { content: '{' })).tokens;
    return chatRequest({ logit_bias: { [brace]: 100 }, max_tokens: 400, ...extra });
  };

  test('tool calls', async (t) => {
    const server = await Server.start(t);
    const choices = ['required', { type: 'function', function: { name: 'weather' } }];
    for (const tool_choice of choices) {
      const request = await toolRequest(server, { tools: [tool('weather')], tool_choice });
      const answer = await server.client().chat.completions.create(request);
      const [choice] = answer.choices;
      assert.equal(choice.finish_reason, 'tool_calls', JSON.stringify(choice));
      assert.equal(choice.message.content, null);
      assert.equal(choice.message.tool_calls.length, 1);
      const [call] = choice.message.tool_calls;
      assert.equal(call.type, 'function');
      assert.ok(call.id.length > 0);
      assert.equal(call.function.name, 'weather');
      assertFits(call.function.arguments);

      const runner = server.client().chat.completions.stream(request);
      const streamed = await runner.finalChatCompletion();
      assert.equal(streamed.choices[0].finish_reason, 'tool_calls');
      assert.equal(
        streamed.choices[0].message.tool_calls[0].function.arguments,
        call.function.arguments,
      );
    }
  });

  test('only the chosen one of several tools', async (t) => {
    const server = await Server.start(t);
    for (const name of ['weather', 'tides']) {
      const request = await toolRequest(server, {
        tools: [tool('weather'), tool('tides')],
        tool_choice: { type: 'function', function: { name } },
      });
      const answer = await server.client().chat.completions.create(request);
      assert.equal(answer.choices[0].message.tool_calls[0].function.name, name);
    }
  });

  test('none of the tools with tool_choice none', async (t) => {
    const server = await Server.start(t);
    const answer = await server
      .client()
      .chat.completions.create(chatRequest({ tools: [tool('weather')], tool_choice: 'none' }));
    assert.equal(answer.choices[0].message.tool_calls, undefined);
    assert.equal(typeof answer.choices[0].message.content, 'string');
  });

  test('a JSON schema', async (t) => {
    const server = await Server.start(t);
    const response_format = {
      type: 'json_schema',
      json_schema: { name: 'trip', schema, strict: true },
    };
    for (const temperature of [0, 1]) {
      const answer = await server
        .client()
        .chat.completions.create(
          chatRequest({ response_format, temperature, seed: 3, max_tokens: 200 }),
        );
      assert.equal(answer.choices[0].finish_reason, 'stop', JSON.stringify(answer.choices[0]));
      assertFits(answer.choices[0].message.content);
    }
  });

  test('a schema that can not be met is refused', async (t) => {
    const server = await Server.start(t);
    const response_format = {
      type: 'json_schema',
      json_schema: { name: 'broken', schema: { type: 'no such type' } },
    };
    const request = server.client().chat.completions.create(chatRequest({ response_format }));
    const error = await rejection(request, OpenAI.BadRequestError);
    assert.equal(error.type, 'invalid_request_error');
  });
});

describe('errors are those that the client has classes for', () => {
  test('400, with the field at fault', async (t) => {
    const client = (await Server.start(t)).client();
    const wrong = client.chat.completions.create(chatRequest({ temperature: 'hot' }));
    const error = await rejection(wrong, OpenAI.BadRequestError);
    assert.equal(error.param, 'temperature');
    assert.equal(error.type, 'invalid_request_error');
  });

  test('400 context_length_exceeded where the prompt is too long', async (t) => {
    const client = (await Server.start(t)).client();
    const messages = [{ role: 'user', content: 'otter '.repeat(3000) }];
    for (const stream of [false, true]) {
      const tooLong = client.chat.completions.create(chatRequest({ messages, stream }));
      const error = await rejection(tooLong, OpenAI.BadRequestError);
      assert.equal(error.code, 'context_length_exceeded');
      assert.match(error.message, /2048/);
    }
  });

  test('401 where keys are needed', async (t) => {
    const server = await Server.start(t, { args: ['--api-key', 'team:right'] });
    const wrong = server.client({ apiKey: 'wrong' });
    const requests = [
      () => wrong.chat.completions.create(chatRequest()),
      () => wrong.models.list(),
    ];
    for (const request of requests) {
      const error = await rejection(request(), OpenAI.AuthenticationError);
      assert.equal(error.code, 'invalid_api_key');
    }
    const right = server.client({ apiKey: 'right' });
    const answer = await right.chat.completions.create(chatRequest());
    assert.equal(answer.choices.length, 1);
    assert.ok(!server.log.join('\n').includes('right'), 'the log tells a key');
  });

  test('404 for another model', async (t) => {
    const client = (await Server.start(t)).client();
    const unknown = client.chat.completions.create(chatRequest({ model: 'gpt-9' }));
    const error = await rejection(unknown, OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    assert.match(error.message, /gpt-9/);
  });

  test('429 with Retry-After when there is no room in the queue', async (t) => {
    const args = ['--parallel', '1', '--queue-max', '1', '--ctx-size', '4096'];
    const server = await Server.start(t, { args });
    const client = server.client();
    const running = await client.chat.completions.create(
      chatRequest({ ...kEndless, stream: true }),
    );
    await running[Symbol.asyncIterator]().next();
    const waiting = new AbortController();
    const queued = client.chat.completions.create(chatRequest(), { signal: waiting.signal });
    const unqueued = rejectionOfAbort(queued);
    await server.until((stats) => stats.queue_depth === 1, 'one request waits');

    const error = await rejection(
      client.chat.completions.create(chatRequest()),
      OpenAI.RateLimitError,
    );
    assert.equal(error.code, 'overloaded');
    assert.match(error.headers.get('retry-after'), /^[1-9]\d*$/);

    waiting.abort();
    await unqueued;
    await server.until((stats) => stats.queue_depth === 0, 'the queue is empty');
    running.controller.abort();
    await server.until((stats) => stats.sequences.busy === 0, 'the sequence is free');
    await client.chat.completions.create(chatRequest());
  });
});

test('a stream that its client leaves frees the engine', async (t) => {
  const server = await Server.start(t, { args: ['--ctx-size', '4096'] });
  const stream = await server
    .client()
    .chat.completions.create(chatRequest({ ...kEndless, stream: true }));
  let seen = 0;
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    if (++seen === 3) break;
  }
  await server.until(({ sequences }) => sequences.busy === 0, 'no sequence is busy');
  assert.equal(await server.metric('spolia_requests_total{result="cancelled"}'), 1);
  assert.ok((await server.metric('spolia_generated_tokens_total')) < kEndless.max_tokens);
});

test('a request that its client leaves before the answer frees the engine', async (t) => {
  const server = await Server.start(t, { args: ['--ctx-size', '4096'] });
  const controller = new AbortController();
  const request = server
    .client()
    .chat.completions.create(chatRequest(kEndless), { signal: controller.signal });
  const aborted = rejectionOfAbort(request);
  await server.until(({ sequences }) => sequences.busy === 1, 'the request runs');
  controller.abort();
  await aborted;
  await server.until(({ sequences }) => sequences.busy === 0, 'no sequence is busy');
  assert.equal(await server.metric('spolia_requests_total{result="cancelled"}'), 1);
});

test('the model of the tests is the random one', async (t) => {
  const server = await Server.start(t);
  const [entry] = (await server.get('/v1/models')).data;
  assert.equal(entry.meta.random_weights, true, `${model} is no random model`);
});
