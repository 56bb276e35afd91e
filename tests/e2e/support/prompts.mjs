// Texts and prompts, made from a seed that each test prints.

// Mulberry32, by Tommy Ettinger.
export function makeRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  // Whole numbers from 0 to n - 1.
  next.below = (n) => Math.floor(next() * n);
  next.shuffled = (list) => {
    const result = [...list];
    for (let i = result.length - 1; i > 0; --i) {
      const j = next.below(i + 1);
      [result[i], result[j]] = [result[j], result[i]];
    }
    return result;
  };
  return next;
}

export function makeSeed(t) {
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`E2E_SEED=${seed}`);
  return seed;
}

const kLetters = 'abcdefghijklmnopqrstuvwxyz';

// Words on one line; a word is about three tokens of the tiny model.
export function makeText(random, nWords) {
  const word = () =>
    Array.from({ length: 3 + random.below(5) }, () => kLetters[random.below(26)]).join('');
  return Array.from({ length: nWords }, word).join(' ') + '.';
}

export const makeDocuments = (random, n, nWords = 40) =>
  Array.from({ length: n }, (_, i) => `Document ${i}: ${makeText(random, nWords)}`);

// A chat request about documents: each is a part of its own, as is the question.
export function ragRequest(documents, question, rest = {}) {
  const parts = [...documents, question].map((text) => ({ type: 'text', text }));
  return {
    messages: [{ role: 'user', content: parts }],
    temperature: 0,
    max_tokens: 12,
    ...rest,
  };
}

export const answerOf = (response) => response.choices[0].message.content;

const kSources = ['exact', 'shifted', 'blended', 'anchored', 'donor', 'computed'];

// How many of its tokens a repeated prompt finds cached: whole tiles of 64, of which the last one is
// computed again.
export const cachedWhenRepeated = (nPrompt) => Math.floor(Math.max(0, nPrompt - 64) / 64) * 64;

// What the receipt says of all of a prompt's tokens.
export const tokensAccounted = ({ spolia }) =>
  kSources.reduce((sum, source) => sum + spolia.tokens[source], 0);
