// The agents of multi_agent.cpp over HTTP, with OpenAI's own client:
//
//     spolia serve --policy anchors --fidelity fast --chunk-min 8 &
//     npm install openai && node multi_agent.mjs http://127.0.0.1:8080/v1
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.argv[2] ?? 'http://127.0.0.1:8080/v1', apiKey: 'none' });

const notes = [
  'Note birch. Alma carries wine at dawn. Otis carries rope again. Nora carries figs. Perla carries hides today.',
  'Note maple. Hugo carries clay this week. Bina carries glass. Oscar matches Nora today. Luna carries paper by night.',
];
const agents = [
  {
    name: 'scout',
    note: 'Note cedar. Tess carries silver. Ida carries oil. Juno carries tin.',
    question: 'What does Tess carry?',
    says: 'Note oak. Tess carries ',
  },
  {
    name: 'clerk',
    note: 'Note poplar. Egon carries salt. Rita carries corn. Gus carries ink.',
    question: 'What does Oscar carry?',
    says: 'Note elm. Oscar carries ',
  },
  {
    name: 'judge',
    note: 'Note willow. Knut carries cider. Lars carries coal. Mara carries honey.',
    question: 'A says Oscar carries silver. B says Oscar carries figs. Who is right?',
    says: 'Note ash. Right is ',
  },
];

const said = [];
for (const { name, note, question, says } of agents) {
  const parts = [note, ...notes, ...said, question];
  const { choices, spolia } = await client.chat.completions.create({
    model: (await client.models.list()).data[0].id,
    temperature: 0,
    max_tokens: 8,
    messages: [{ role: 'user', content: parts.map((text) => ({ type: 'text', text })) }],
  });
  const answer = choices[0].message.content;
  said.push(`${says}${answer}.`);
  console.log(name, '|', question, answer, '|', spolia.policy, JSON.stringify(spolia.tokens));
}
