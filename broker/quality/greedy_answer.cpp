#include "broker/quality/greedy_answer.h"

#include "broker/core/text_assembler.h"
#include "reuse/divergence.h"

namespace spolia {

Result<GreedyAnswer> greedy_answer(Engine& engine, const TextModel& text, int32_t sequence,
                                   const std::vector<std::string>& stops, int32_t tokens_max) {
    GreedyAnswer answer;
    TextAssembler assembler(stops);
    for (;;) {
        const Token token = top_token(engine.logits(sequence));
        answer.tokens.push_back(token);
        const bool ends = text.is_end(token);
        if (!ends && !assembler.stopped()) answer.output += assembler.push(text.piece(token));
        if (ends || static_cast<int32_t>(answer.tokens.size()) >= tokens_max) break;
        const DecodeItem item{sequence, token};
        if (Status status = engine.decode({&item, 1}); !status) return status.error();
    }
    if (!assembler.stopped()) answer.output += assembler.finish();
    return answer;
}

}  // namespace spolia
