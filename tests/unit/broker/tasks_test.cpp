#include "broker/tasks/task_generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace spolia {
namespace {

// Reads notes as a person would, sentence by sentence, and knows nothing of how they were made.
class Reader {
public:
    // Chunks in order; an empty one was left out.
    explicit Reader(const std::vector<std::string>& chunks) {
        for (const std::string& chunk : chunks) {
            if (chunk.empty()) before_.clear();
            read_chunk(chunk);
        }
    }

    // Empty where the notes do not say.
    std::string answer(const std::string& question) const {
        const std::vector<std::string> words = words_of(question);
        const auto word = [&](size_t i) { return words.at(i); };
        if (word(0) == "What") return cargo(word(2));
        if (word(0) == "And") return cargo(word(1));
        if (word(0) == "?") return cargo(word(1));
        if (word(0) == "How") return number(count(word(3)));
        if (word(0) == "Who") return {};
        if (word(0) == "A") {
            if (cargo(word(2)) == word(4)) return "A";
            return cargo(word(2)) == word(9) ? "B" : "";
        }
        if (word(1) == "note") {
            const auto label = note_.find(word(3));
            return label == note_.end() ? "" : label->second;
        }
        return first_of(word(4), word(6));
    }

private:
    static std::vector<std::string> words_of(const std::string& sentence) {
        std::istringstream stream(sentence);
        std::vector<std::string> words;
        for (std::string word; stream >> word;) {
            while (word.size() > 1 && std::string(".,?").find(word.back()) != std::string::npos)
                word.pop_back();
            words.push_back(word);
        }
        return words;
    }

    void read_chunk(const std::string& chunk) {
        size_t at = 0;
        for (size_t stop = chunk.find('.'); stop != chunk.npos; stop = chunk.find('.', at)) {
            read(words_of(chunk.substr(at, stop - at)));
            at = stop + 1;
        }
    }

    void read(std::vector<std::string> words) {
        if (words[0] == "Note") {
            label_ = words[1];
            return;
        }
        if (words[0] == "Now") words.erase(words.begin());
        if (words[0] == "It") {
            words[0] = before_;
            if (before_.empty()) return;
        }
        before_.clear();
        name(words[0]);
        if (words.size() == 2) {  // a bare pair
            const bool ship = cargo_.contains(words[1]);
            cargo_[words[0]] = ship ? cargo_[words[1]] : words[1];
        } else if (words[1] == "is") {
            before_ = words[0];
        } else if (words[1] == "carries") {
            cargo_[words[0]] = words[2];
        } else if (words[1] == "matches") {
            name(words[2]);
            cargo_[words[0]] = cargo(words[2]);
        }
    }

    void name(const std::string& ship) {
        if (std::ranges::find(named_, ship) == named_.end()) named_.push_back(ship);
        note_.try_emplace(ship, label_);
    }

    std::string cargo(const std::string& ship) const {
        const auto found = cargo_.find(ship);
        return found == cargo_.end() ? "" : found->second;
    }

    size_t count(const std::string& cargo) const {
        return static_cast<size_t>(std::ranges::count_if(
            cargo_, [&](const auto& entry) { return entry.second == cargo; }));
    }

    static std::string number(size_t n) {
        const std::vector<std::string> words = {"",     "one", "two",   "three", "four",
                                                "five", "six", "seven", "eight", "nine"};
        return n < words.size() ? words[n] : "";
    }

    std::string first_of(const std::string& one, const std::string& other) const {
        const auto a = std::ranges::find(named_, one);
        const auto b = std::ranges::find(named_, other);
        if (a == named_.end() || b == named_.end()) return {};
        return a < b ? one : other;
    }

    std::string label_;
    std::string before_;  // what "it" is
    std::map<std::string, std::string> cargo_;
    std::map<std::string, std::string> note_;  // the first that names a ship
    std::vector<std::string> named_;
};

struct Size {
    int32_t chunks;
    int32_t sentences;
};
constexpr Size kSizes[] = {{4, 6}, {6, 6}, {9, 5}, {10, 8}};

TaskGenerator make_generator(const TaskOptions& options) {
    Result<TaskGenerator> generator = TaskGenerator::create(options);
    EXPECT_TRUE(generator.ok()) << (generator.ok() ? "" : generator.error().message);
    return std::move(generator).value();
}

std::vector<Task> make_tasks(const TaskOptions& options, int n) {
    TaskGenerator generator = make_generator(options);
    std::vector<Task> tasks;
    for (int i = 0; i < n; ++i) {
        Result<Task> task = generator.next();
        if (!task) {
            ADD_FAILURE() << task.error().message;
            break;
        }
        tasks.push_back(std::move(task).value());
    }
    return tasks;
}

std::string all_text(const Task& task) {
    std::string text = std::to_string(task.seed);
    for (const std::string& chunk : task.chunks) text += '\n' + chunk;
    for (const TaskQuestion& question : task.questions)
        text += '\n' + question.question + ' ' + question.answer;
    return text;
}

// Only the chunks for which `wanted` is true.
template <typename Wanted>
std::vector<std::string> some_chunks(const Task& task, Wanted wanted) {
    std::vector<std::string> chunks(task.chunks.size());
    for (size_t i = 0; i < chunks.size(); ++i) {
        if (wanted(static_cast<int32_t>(i))) chunks[i] = task.chunks[i];
    }
    return chunks;
}

void check_question(const Task& task, const TaskQuestion& question) {
    SCOPED_TRACE(all_text(task));
    const auto answer_of = [&](auto wanted) {
        return Reader(some_chunks(task, wanted)).answer(question.question);
    };
    const auto is_needed = [&](int32_t chunk) {
        return std::ranges::find(question.needs, chunk) != question.needs.end();
    };
    ASSERT_FALSE(question.needs.empty());
    EXPECT_TRUE(std::ranges::is_sorted(question.needs));
    EXPECT_EQ(answer_of([](int32_t) { return true; }), question.answer);
    EXPECT_EQ(answer_of(is_needed), question.answer) << "from the chunks that are needed";
    for (int32_t chunk = 0; chunk < static_cast<int32_t>(task.chunks.size()); ++chunk) {
        if (!question.cross) break;
        EXPECT_NE(answer_of([&](int32_t i) { return i == chunk; }), question.answer)
            << "from chunk " << chunk << " alone";
    }
    for (const int32_t left_out : question.needs) {
        EXPECT_NE(answer_of([&](int32_t i) { return i != left_out && is_needed(i); }),
                  question.answer)
            << "without chunk " << left_out;
    }
    for (const TaskTurn& turn : question.history) {
        EXPECT_EQ(Reader(task.chunks).answer(turn.question), turn.answer);
    }
}

TEST(Tasks, AnswersAreWhatTheTextSays) {
    for (const TaskKind kind : kTaskKinds) {
        for (const Size& size : kSizes) {
            if (kind == TaskKind::kLong && size.chunks > 4) continue;
            SCOPED_TRACE(to_string(kind));
            const TaskOptions options{.kinds = {kind},
                                      .n_chunks = size.chunks,
                                      .sentences_per_chunk = size.sentences,
                                      .seed = 7};
            for (const Task& task : make_tasks(options, 150)) {
                ASSERT_EQ(task.kind, to_string(kind));
                ASSERT_EQ(task.questions.size(), 1U);
                check_question(task, task.questions.front());
                if (::testing::Test::HasFailure()) return;
            }
        }
    }
}

TEST(Tasks, ManyQuestionsOfAllKindsAreRight) {
    TaskOptions options;
    options.questions_per_prompt = 24;
    options.seed = 3;
    options.kinds.assign(kTaskKinds.begin(), kTaskKinds.end() - 1);
    for (const Task& task : make_tasks(options, 100)) {
        EXPECT_GT(task.questions.size(), 12U);
        for (const TaskQuestion& question : task.questions) check_question(task, question);
        if (::testing::Test::HasFailure()) return;
    }
}

TEST(Tasks, EarlyStagesAskTheSame) {
    for (const TaskStage stage : {TaskStage::kPairs, TaskStage::kWords}) {
        const TaskOptions options{
            .kinds = {TaskKind::kSingleFact, TaskKind::kTwoHops, TaskKind::kThreeHops},
            .stage = stage,
            .questions_per_prompt = 8};
        for (const Task& task : make_tasks(options, 100)) {
            for (const TaskQuestion& question : task.questions) check_question(task, question);
            if (::testing::Test::HasFailure()) return;
        }
    }
}

TEST(Tasks, HopsStandInChunksOfTheirOwn) {
    const TaskOptions options{.kinds = {TaskKind::kTwoHops, TaskKind::kThreeHops}};
    for (const Task& task : make_tasks(options, 200)) {
        const TaskQuestion& question = task.questions.front();
        const size_t hops = question.kind == TaskKind::kTwoHops ? 2 : 3;
        EXPECT_EQ(question.needs.size(), hops);
        EXPECT_TRUE(question.cross);
    }
}

// Documents are mostly self-contained: if references were many, no reuse could be cheap.
TEST(Tasks, AboutOneSentenceInFivePointsToAnotherChunk) {
    const TaskOptions options{.kinds = {TaskKind::kSingleFact}};
    size_t sentences = 0;
    size_t pointing = 0;
    for (const Task& task : make_tasks(options, 200)) {
        for (const std::string& chunk : task.chunks) {
            sentences += static_cast<size_t>(std::ranges::count(chunk, '.')) - 1;
            pointing += chunk.find(" It carries") == chunk.find('.') + 1 ? 1 : 0;
            for (size_t at = chunk.find(" matches "); at != chunk.npos;
                 at = chunk.find(" matches ", at + 1)) {
                const std::string target =
                    chunk.substr(at + 9, chunk.find_first_of(" .", at + 9) - at - 9);
                pointing += chunk.find(target) == at + 9 ? 1 : 0;
            }
        }
    }
    const double share = static_cast<double>(pointing) / static_cast<double>(sentences);
    EXPECT_GT(share, 0.12);
    EXPECT_LT(share, 0.25);
}

TEST(Tasks, ASeedNamesATextForGood) {
    const TaskOptions options{.kinds = {TaskKind::kTwoHops}, .n_chunks = 3, .seed = 11};
    const std::vector<Task> tasks = make_tasks(options, 20);
    const std::vector<Task> again = make_tasks(options, 20);
    for (size_t i = 0; i < tasks.size(); ++i) EXPECT_EQ(all_text(tasks[i]), all_text(again[i]));
    EXPECT_NE(all_text(tasks[0]), all_text(tasks[1]));
    TaskOptions other = options;
    other.seed = 12;
    EXPECT_NE(all_text(tasks[0]), all_text(make_tasks(other, 1)[0]));
    EXPECT_EQ(tasks[0].chunks[0],
              "Note poplar. Bela carries linen. Asta carries copper. Paco carries honey. "
              "Flora carries wine. Gwen carries silver. Tilda is next.");
}

TEST(Tasks, HintsStandBehindTheWordsThatPoint) {
    const TaskOptions options{.kinds = {TaskKind::kThreeHops}};
    for (const Task& task : make_tasks(options, 50)) {
        EXPECT_FALSE(task.hints.empty());
        for (const TaskHint& hint : task.hints) {
            const std::string& chunk = task.chunks[static_cast<size_t>(hint.chunk)];
            const std::string before = chunk.substr(0, hint.end);
            const bool it = before.ends_with(" It");
            EXPECT_TRUE(it || before.find(" matches ") != before.npos) << before;
            std::vector<std::string> read(task.chunks.begin(), task.chunks.begin() + hint.chunk);
            if (it) {
                read.push_back(before + " carries this.");
                EXPECT_EQ(Reader(read).answer("What does " + hint.answer + " carry?"), "this");
            } else {
                read.push_back(before + '.');
                const std::string ship = before.substr(before.rfind(' ') + 1);
                EXPECT_EQ(Reader(read).answer("What does " + ship + " carry?"), hint.answer);
            }
        }
    }
}

TEST(Tasks, RefusesWhatTheWordsDoNotReachFor) {
    const auto error_of = [](const TaskOptions& options) -> std::string {
        const Result<TaskGenerator> generator = TaskGenerator::create(options);
        return generator.ok() ? "" : generator.error().message;
    };
    EXPECT_NE(error_of({.kinds = {}}), "");
    EXPECT_NE(error_of({.kinds = {TaskKind::kSingleFact}, .n_chunks = 40}), "");
    EXPECT_NE(error_of({.kinds = {TaskKind::kLong}, .n_chunks = 16}), "");
    EXPECT_NE(error_of({.kinds = {TaskKind::kLong}, .n_chunks = 2'000'000'000}), "");
    EXPECT_NE(error_of({.kinds = {TaskKind::kSingleFact}, .n_chunks = 0}), "");
    EXPECT_EQ(error_of({.kinds = {TaskKind::kSingleFact}, .n_chunks = 20}), "");
}

TEST(Tasks, SaysWhenNotesAreTooShortForAKind) {
    TaskGenerator generator = make_generator({.kinds = {TaskKind::kThreeHops}, .n_chunks = 2});
    const Result<Task> task = generator.next();
    ASSERT_FALSE(task.ok());
    EXPECT_NE(task.error().message.find("three_hops"), std::string::npos);
}

}  // namespace
}  // namespace spolia
