// What ctest tells these tests; see CMakeLists.txt. Names do not begin with SPOLIA_, which the
// program reads as its own settings.
import { createRequire } from 'node:module';
import { join } from 'node:path';

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests with ctest -L e2e`);
  return value;
}

export const program = required('E2E_PROGRAM');
export const model = required('E2E_MODEL');
// The same shape with other weights.
export const otherModel = required('E2E_OTHER_MODEL');
export const llamaServer = required('E2E_LLAMA_SERVER');
// The file of the model that the program carries; empty where it carries none.
export const sampleModel = process.env.E2E_SAMPLE_MODEL ?? '';
export const example = required('E2E_EXAMPLE');
export const ragExample = required('E2E_RAG_EXAMPLE');
export const multiAgentExample = required('E2E_MULTI_AGENT_EXAMPLE');
export const packages = required('E2E_PACKAGES');

// Clients are installed in the build folder, where a plain import does not look.
const require = createRequire(join(packages, 'package.json'));
export const { OpenAI } = require('openai');
export const { ChatOpenAI } = require('@langchain/openai');
export const { HumanMessage, SystemMessage } = require('@langchain/core/messages');
export const { generateText, streamText } = require('ai');
export const { createOpenAICompatible } = require('@ai-sdk/openai-compatible');
