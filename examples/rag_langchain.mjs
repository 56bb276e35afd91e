// Spolia as LangChain's retriever and chat model:
//
//     spolia ingest docs --collection docs && spolia serve --model model.gguf &
//     npm install @langchain/core @langchain/openai
//     node rag_langchain.mjs http://127.0.0.1:8080/v1 docs 'How are chunks cut?'
import { Document } from '@langchain/core/documents';
import { HumanMessage, SystemMessage } from '@langchain/core/messages';
import { BaseRetriever } from '@langchain/core/retrievers';
import { ChatOpenAI } from '@langchain/openai';

class SpoliaRetriever extends BaseRetriever {
  lc_namespace = ['spolia', 'retrievers'];

  constructor({ baseURL, collection, k = 4, ...rest }) {
    super(rest);
    this.url = `${baseURL}/retrieve`;
    this.wanted = { collection, k };
  }

  async _getRelevantDocuments(query) {
    const response = await fetch(this.url, {
      method: 'POST',
      body: JSON.stringify({ ...this.wanted, query }),
    });
    const { data, error } = await response.json();
    if (error) throw new Error(error.message);
    return data.map(({ text, ...metadata }) => new Document({ pageContent: text, metadata }));
  }
}

const [baseURL, collection, question] = process.argv.slice(2);
const retriever = new SpoliaRetriever({ baseURL, collection, k: 2 });
const { data: models } = await (await fetch(`${baseURL}/models`)).json();
const chat = new ChatOpenAI({
  configuration: { baseURL },
  model: models[0].id,
  apiKey: 'none',
  temperature: 0,
  maxTokens: 24,
  modelKwargs: { spolia: { fidelity: 'fast', policy: 'epic' } },
});

const documents = await retriever.invoke(question);
for (const { metadata } of documents) {
  console.log(`${metadata.source}: ${metadata.heading}${metadata.warm ? ' (warm)' : ''}`);
}
// Each chunk as a part of its own, as it came: so its KV is found.
const parts = [...documents.map(({ pageContent }) => pageContent), question];
const answer = await chat.invoke([
  new SystemMessage('Answer from the documents.'),
  new HumanMessage({ content: parts.map((text) => ({ type: 'text', text })) }),
]);
console.log(`answer: ${answer.content}`);
