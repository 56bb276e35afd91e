// Three agents in this process: each reads the same notes and what the agents before it said,
// behind a note of its own, and takes over the rows that they left.
//
//     multi_agent MODEL.gguf
//
// The notes are of the kind that the sample model knows; other models get along with them.

#include <cstdio>
#include <string>
#include <vector>

#include <spolia/broker.h>

namespace {

struct Agent {
    const char* name;
    std::string own_note;
    std::string question;
    std::string says;  // in front of its answer, to the others
};

const std::vector<std::string> kNotes = {
    "Note birch. Alma carries wine at dawn. Otis carries rope again. Nora carries figs. "
    "Perla carries hides today.",
    "Note maple. Hugo carries clay this week. Bina carries glass. Oscar matches Nora today. "
    "Luna carries paper by night."};

void print_receipt(const Agent& agent, const spolia::Answer& answer) {
    const spolia::Receipt& receipt = answer.receipt;
    std::printf(
        "%-6s %-40s %-8s %-8s %6.1f ms; %3d prompt tokens: %3d exact, %3d anchored, "
        "%3d shifted, %3d recomputed, %3d computed\n",
        agent.name, agent.question.c_str(), answer.text.c_str(), receipt.policy.c_str(),
        receipt.ttft_ms, receipt.n_prompt, receipt.n_exact, receipt.n_anchored, receipt.n_shifted,
        receipt.n_blended, receipt.n_computed);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s MODEL.gguf\n", argv[0]);
        return 2;
    }
    spolia::BrokerOptions options;
    options.model_path = argv[1];
    options.n_sequences = 3;  // each agent's own note stays in one
    options.policy = "anchors";
    options.fidelity = spolia::Fidelity::kFast;
    options.chunk_tokens_min = 8;
    options.reuse_by_cost = false;  // prompts this short are computed as fast
    auto broker = spolia::Broker::open(options);
    if (!broker) {
        std::fprintf(stderr, "%s\n", broker.error().message.c_str());
        return 1;
    }

    const std::vector<Agent> agents = {
        {"scout", "Note cedar. Tess carries silver. Ida carries oil. Juno carries tin.",
         "What does Tess carry?", "Note oak. Tess carries "},
        {"clerk", "Note poplar. Egon carries salt. Rita carries corn. Gus carries ink.",
         "What does Oscar carry?", "Note elm. Oscar carries "},
        {"judge", "Note willow. Knut carries cider. Lars carries coal. Mara carries honey.",
         "A says Oscar carries silver. B says Oscar carries figs. Who is right?",
         "Note ash. Right is "}};
    std::vector<std::string> messages;
    for (const Agent& agent : agents) {
        spolia::Message message{"user", {agent.own_note}};
        for (const std::string& note : kNotes) message.parts.push_back(note);
        for (const std::string& said : messages) message.parts.push_back(said);
        message.parts.push_back(agent.question);
        spolia::Prompt prompt;
        prompt.messages = {message};
        prompt.tokens_max = 8;
        const auto answer = (*broker)->ask(prompt);
        if (!answer.ok()) {
            std::fprintf(stderr, "%s\n", answer.error().message.c_str());
            return 1;
        }
        print_receipt(agent, *answer);
        messages.push_back(agent.says + answer->text + '.');
    }
    return 0;
}
