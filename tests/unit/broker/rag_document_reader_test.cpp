#include "broker/rag/document_reader.h"

#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/rag/program_output.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using Headings = std::vector<std::string>;

Result<Document> read(const std::string& name, std::string bytes) {
    return read_document(name, document_format(name).value(), std::move(bytes));
}

std::vector<DocumentSection> sections(const std::string& name, std::string bytes) {
    Result<Document> document = read(name, std::move(bytes));
    EXPECT_TRUE(document.ok()) << document.error().message;
    return document.ok() ? document->sections : std::vector<DocumentSection>();
}

std::string why_not(const std::string& name, std::string bytes) {
    const Result<Document> document = read(name, std::move(bytes));
    EXPECT_FALSE(document.ok());
    return document.ok() ? std::string() : document.error().message;
}

TEST(DocumentReader, KnowsEndings) {
    EXPECT_EQ(document_format("a/README.MD"), DocumentFormat::kMarkdown);
    EXPECT_EQ(document_format("x.htm"), DocumentFormat::kHtml);
    EXPECT_EQ(document_format("x.txt"), DocumentFormat::kText);
    EXPECT_EQ(document_format("x.pdf"), DocumentFormat::kPdf);
    EXPECT_FALSE(document_format("x.png"));
    EXPECT_FALSE(document_format("Makefile"));
}

TEST(DocumentReader, ReadsMarkdownBySections) {
    const auto read = sections("a.md",
                               "Before.\n\n# One #\n\nText *of* one.\n\n## Two\nline\n\n"
                               "Three\n-----\n\n- item\n\n# Four\n\n### Deep\nx\n");
    ASSERT_EQ(read.size(), 5u);
    EXPECT_EQ(read[0].headings, Headings{});
    EXPECT_EQ(read[0].text, "Before.");
    EXPECT_EQ(read[1].headings, Headings{"One"});
    EXPECT_EQ(read[1].text, "Text *of* one.");
    EXPECT_EQ(read[2].headings, (Headings{"One", "Two"}));
    EXPECT_EQ(read[3].headings, (Headings{"One", "Three"}));
    EXPECT_EQ(read[3].text, "- item");
    EXPECT_EQ(read[4].headings, (Headings{"Four", "Deep"}));
}

TEST(DocumentReader, FindsNoHeadingsInFencesAndRules) {
    const auto read = sections("a.md",
                               "# A\n\n```sh\n# comment\n~~~\n```\n\nText\nof two lines\n---\n"
                               "    # indented\n\n~~~~\n# x\n~~~\n# y\n~~~~\nend\n");
    ASSERT_EQ(read.size(), 1u);
    EXPECT_EQ(read[0].headings, Headings{"A"});
    EXPECT_TRUE(read[0].text.starts_with("```sh\n# comment"));
    EXPECT_TRUE(read[0].text.ends_with("end"));
}

TEST(DocumentReader, TakesTheTitleOfFrontMatter) {
    const auto read =
        sections("a.md", "---\ntitle: \"The Otter\"\ntags: x\n---\n# The Otter\n\nSwims.\n");
    ASSERT_EQ(read.size(), 1u);
    EXPECT_EQ(read[0].headings, Headings{"The Otter"});
    EXPECT_EQ(read[0].text, "Swims.");
}

TEST(DocumentReader, ReadsHtmlBySections) {
    const auto read = sections(
        "a.html",
        "<!DOCTYPE html><html><head><title>Otters &amp; co</title><style>p { x }</style></head>"
        "<body><nav><ul><li>Home</ul></nav><p>First <b>bold</b>\n words.<p>Second&nbsp;one."
        "<h2 class=\"a>b\">Food</h2><ul><li>Fish<li>Crabs &#233;&#x20AC; &unknown; a < b</ul>"
        "<script>if (a < b) document.write('<h1>no</h1>')</script><pre>a\n  b</pre>"
        "<!-- <h1>hidden</h1> --><footer>Imprint</footer></body></html>");
    ASSERT_EQ(read.size(), 2u);
    EXPECT_EQ(read[0].headings, Headings{"Otters & co"});
    EXPECT_EQ(read[0].text, "First bold words.\n\nSecond one.");
    EXPECT_EQ(read[1].headings, (Headings{"Otters & co", "Food"}));
    EXPECT_EQ(read[1].text, "- Fish\n- Crabs é€ &unknown; a < b\n\na\n  b");
}

TEST(DocumentReader, TakesDeepAndBrokenHtml) {
    std::string deep;
    for (int i = 0; i < 500'000; ++i) deep += "<div>";
    const auto read = sections("a.html", deep + "text");
    ASSERT_EQ(read.size(), 1u);
    EXPECT_EQ(read[0].text, "text");

    std::string comments, tags;
    for (int i = 0; i < 200'000; ++i) comments += "<!-- ", tags += "<a href='";
    EXPECT_TRUE(sections("a.html", comments).empty());
    EXPECT_TRUE(sections("a.html", tags).empty());
    EXPECT_TRUE(sections("a.html", "<script>text").empty());
    EXPECT_EQ(sections("a.html", "a <").at(0).text, "a <");
    EXPECT_EQ(sections("a.html", "<h1>" + std::string(2000, 'x')).at(0).text,
              std::string(2000, 'x'));
}

TEST(DocumentReader, ReadsAnyText) {
    EXPECT_EQ(sections("a.txt", "\xef\xbb\xbfone\r\ntwo\rthree").at(0).text, "one\ntwo\nthree");
    EXPECT_EQ(sections("a.txt", "caf\xe9 au lait").at(0).text, "caf\xef\xbf\xbd au lait");
    EXPECT_TRUE(sections("a.txt", " \n ").empty());
    EXPECT_TRUE(sections("a.md", "").empty());
    EXPECT_EQ(sections("a.txt", std::string(3'000'000, 'a')).at(0).text.size(), 3'000'000u);
}

TEST(DocumentReader, RefusesWhatIsNoText) {
    EXPECT_NE(why_not("a.txt", std::string("a\0b", 3)).find("byte 1 is 0"), std::string::npos);
    EXPECT_NE(why_not("a.md",
                      "\xff\xfe"
                      "a")
                  .find("UTF-16"),
              std::string::npos);
    EXPECT_NE(why_not("a.txt", std::string(100, '\xfe')).find("not UTF-8"), std::string::npos);
    EXPECT_NE(why_not("a.pdf", "no").find("no PDF"), std::string::npos);
    std::string many;
    for (size_t i = 0; i <= kSectionsMax; ++i) many += "# a\nb\n";
    EXPECT_NE(why_not("a.md", many).find("sections"), std::string::npos);
}

// A page that says "Otters swim."
std::string small_pdf() {
    const std::string stream = "BT /F1 24 Tf 72 700 Td (Otters swim.) Tj ET";
    return "%PDF-1.4\n"
           "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
           "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
           "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
           "/Resources<</Font<</F1 5 0 R>>>>>>endobj\n"
           "4 0 obj<</Length " +
           std::to_string(stream.size()) + ">>stream\n" + stream +
           "\nendstream endobj\n"
           "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
           "trailer<</Root 1 0 R>>\n%%EOF\n";
}

TEST(DocumentReader, ReadsPdfWherePopplerIs) {
    const test::TestFolder folder;
    const auto file = folder.path / "a.pdf";
    std::ofstream(file, std::ios::binary) << small_pdf();
    const Result<Document> document = read_document(file, DocumentFormat::kPdf, small_pdf());
    if (!document.ok() && document.error().code == ErrorCode::kUnsupported) {
        EXPECT_NE(document.error().message.find("poppler-utils"), std::string::npos);
        GTEST_SKIP() << document.error().message;
    }
    ASSERT_TRUE(document.ok()) << document.error().message;
    EXPECT_EQ(document->sections.at(0).text, "Otters swim.");
    std::ofstream(file, std::ios::binary) << "%PDF-1.4 and no more";
    EXPECT_FALSE(read_document(file, DocumentFormat::kPdf, "%PDF-1.4 and no more").ok());
}

TEST(ProgramOutput, EndsProgramsBeyondTheirLimits) {
    const auto said = program_output({"echo", "a b; c"}, {});
    ASSERT_TRUE(said.ok());
    EXPECT_EQ(*said, "a b; c\n");
    EXPECT_EQ(program_output({"spolia-has-no-such-program"}, {}).error().code,
              ErrorCode::kNotFound);
    EXPECT_EQ(program_output({"false"}, {}).error().message, "false failed with 1");
    ProgramLimits limits;
    limits.output_bytes_max = 1 << 20;
    EXPECT_EQ(program_output({"yes"}, limits).error().message, "yes gave more than 1 MiB");
    limits.time_max = std::chrono::seconds(1);
    EXPECT_EQ(program_output({"sleep", "60"}, limits).error().message,
              "sleep took longer than 1 s");
}

}  // namespace
}  // namespace spolia
