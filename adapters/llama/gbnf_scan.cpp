#include "adapters/llama/gbnf_scan.h"

#include <algorithm>
#include <set>

namespace spolia {
namespace {

bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

// Goes through a grammar word by word and notes what it sees.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}

    void run() {
        while (at_ < text_.size() && problem_.empty()) step();
        if (!problem_.empty()) return;
        if (depth_ != 0) {
            problem_ = "there is an unclosed '('";
        } else if (!defined_.contains("root")) {
            problem_ = "it has no rule 'root'";
        } else {
            for (const std::string& name : used_) {
                if (defined_.contains(name)) continue;
                problem_ = "rule '" + name + "' is used but not defined";
            }
        }
    }

    const std::string& problem() const { return problem_; }
    int depth_max() const { return depth_max_; }

private:
    void step() {
        const char c = text_[at_];
        if (c == '#') {
            at_ = std::min(text_.find('\n', at_), text_.size());
        } else if (c == '"') {
            skip_quoted('"', "string");
        } else if (c == '[') {
            skip_quoted(']', "character class");
        } else if (c == '<') {
            skip_quoted('>', "token");
        } else if (c == '{') {
            skip_quoted('}', "repetition");
        } else if (is_name_char(c)) {
            take_name();
        } else {
            if (c == '\n') ++line_;
            if (c == '(') depth_max_ = std::max(depth_max_, ++depth_);
            if (c == ')' && --depth_ < 0) problem_ = "there is a ')' without '(' in " + where();
            ++at_;
        }
    }

    void skip_quoted(char end, const char* what) {
        const std::string begun = where();
        for (++at_; at_ < text_.size() && text_[at_] != end; ++at_) {
            if (text_[at_] == '\\') ++at_;
        }
        if (at_ >= text_.size()) {
            problem_ = std::string("the ") + what + " begun in " + begun + " has no end";
        }
        ++at_;
    }

    void take_name() {
        const size_t begin = at_;
        while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
        std::string name(text_.substr(begin, at_ - begin));
        const size_t next = text_.find_first_not_of(" \t", at_);
        const bool defines = next != text_.npos && text_.substr(next).starts_with("::=");
        (defines ? defined_ : used_).insert(std::move(name));
        if (defines) at_ = next + 3;
    }

    std::string where() const { return "line " + std::to_string(line_); }

    std::string_view text_;
    size_t at_ = 0;
    int line_ = 1;
    int depth_ = 0;
    int depth_max_ = 0;
    std::set<std::string> defined_;
    std::set<std::string> used_;
    std::string problem_;
};

}  // namespace

std::optional<std::string> gbnf_problem(std::string_view grammar) {
    Scanner scanner(grammar);
    scanner.run();
    if (scanner.problem().empty()) return std::nullopt;
    return scanner.problem();
}

int gbnf_depth(std::string_view grammar) {
    Scanner scanner(grammar);
    scanner.run();
    return scanner.depth_max();
}

}  // namespace spolia
