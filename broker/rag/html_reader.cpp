#include "broker/rag/html_reader.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "broker/rag/document_builder.h"
#include "broker/rag/html_entities.h"
#include "broker/rag/html_scanner.h"
#include "index/lines.h"

namespace spolia {
namespace {

// Not what the page is about.
constexpr std::string_view kDropped[] = {"nav",    "footer", "noscript", "template", "svg",
                                         "object", "select", "button",   "dialog"};
constexpr std::string_view kParagraphs[] = {
    "p",  "div", "section", "article", "main",       "header",  "aside",    "body", "html", "ul",
    "ol", "dl",  "pre",     "table",   "blockquote", "figure",  "fieldset", "hr",   "h1",   "h2",
    "h3", "h4",  "h5",      "h6",      "details",    "address", "caption",  "head", "menu"};
constexpr std::string_view kLines[] = {"br", "li",      "tr",         "dt",
                                       "dd", "summary", "figcaption", "option"};

bool is_one_of(std::string_view name, auto& names) {
    return std::ranges::find(names, name) != std::end(names);
}

int heading_of(std::string_view name) {
    const bool heading = name.size() == 2 && name[0] == 'h' && name[1] >= '1' && name[1] <= '6';
    return heading ? name[1] - '0' : 0;
}

class HtmlReader final : public HtmlEvents {
public:
    void on_text(std::string_view text) override {
        if (drop_depth_ > 0) return;
        const std::string decoded = decode_html_entities(text);
        if (in_title_) {
            builder_.set_title(decoded);
            has_title_ = true;
        } else if (level_ > 0 && heading_.size() + decoded.size() <= kLongHeading) {
            heading_ += decoded;
        } else {
            if (level_ > 0) add(heading_);
            heading_.clear();
            level_ = 0;
            add(decoded);
        }
    }

    void on_open(std::string_view name) override {
        if (drop_depth_ > 0) {
            if (name == dropped_) ++drop_depth_;
            return;
        }
        if (is_one_of(name, kDropped)) {
            dropped_ = name;
            drop_depth_ = 1;
        }
        separate(name);
        in_title_ = name == "title" && !has_title_;
        level_ = heading_of(name) > 0 ? heading_of(name) : level_;
        if (name == "pre") preformatted_ = true;
        if (name == "li") add("- ");
    }

    void on_close(std::string_view name) override {
        if (drop_depth_ > 0) {
            if (name == dropped_) --drop_depth_;
            return;
        }
        separate(name);
        if (name == "title") in_title_ = false;
        if (name == "pre") preformatted_ = false;
    }

    Result<Document> finish() && {
        end_heading();
        return std::move(builder_).finish();
    }

private:
    // In what is longer, a heading's end is missing.
    static constexpr size_t kLongHeading = 4 * kHeadingBytesMax;

    void separate(std::string_view name) {
        if (is_one_of(name, kParagraphs)) {
            end_heading();
            n_breaks_ = std::max(n_breaks_, 2);
        } else if (is_one_of(name, kLines)) {
            n_breaks_ = std::max(n_breaks_, 1);
        } else if (name == "td" || name == "th") {
            space_ = true;
        }
    }

    // A heading that nobody closes ends where a paragraph begins.
    void end_heading() {
        if (level_ > 0) {
            builder_.heading(level_, heading_);
            at_start_ = true;
        }
        level_ = 0;
        heading_.clear();
    }

    // White space comes out when something follows it.
    void add(std::string_view text) {
        for (const char c : text) {
            if (is_space(c) && !preformatted_) {
                space_ = true;
            } else {
                put_space();
                builder_.text({&c, 1});
            }
        }
    }

    void put_space() {
        if (n_breaks_ > 0) {
            if (!at_start_) builder_.text(n_breaks_ > 1 ? "\n\n" : "\n");
        } else if (space_ && !at_start_) {
            builder_.text(" ");
        }
        n_breaks_ = 0;
        space_ = false;
        at_start_ = false;
    }

    DocumentBuilder builder_;
    std::string heading_;
    std::string dropped_;
    size_t drop_depth_ = 0;
    int level_ = 0;  // of the heading that is open; 0: none is
    int n_breaks_ = 0;
    bool space_ = false;
    bool at_start_ = true;  // of a section
    bool in_title_ = false;
    bool has_title_ = false;
    bool preformatted_ = false;
};

}  // namespace

Result<Document> read_html(std::string_view html) {
    HtmlReader reader;
    scan_html(html, reader);
    return std::move(reader).finish();
}

}  // namespace spolia
