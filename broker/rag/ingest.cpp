#include "broker/rag/ingest.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/rag/document_cutter.h"
#include "broker/rag/document_files.h"
#include "broker/rag/document_reader.h"

namespace spolia {
namespace {

// Of reading and cutting: another number makes all chunks anew.
constexpr int64_t kRecipe = 1;
constexpr size_t kTextsAtOnce = 256;

class Ingestion {
public:
    Ingestion(Collection& collection, const TextEmbedder& embedder, const IngestListener& listener)
        : collection_(collection), embedder_(embedder), listener_(listener) {}

    Result<IngestReport> run(std::span<const std::filesystem::path> paths) {
        const Result<DocumentWalk> walk = find_documents(paths);
        if (!walk.ok()) return walk.error();
        for (const std::string& warning : walk->warnings) listener_.warn(warning);
        Status done = read_known();
        if (done.ok()) done = take_files(*walk);
        if (done.ok()) done = remove_gone(*walk);
        if (done.ok()) done = embed_anew();
        if (!done.ok()) return done.error();
        const Result<CollectionSize> size = collection_.size();
        if (!size.ok()) return size.error();
        report_.size = *size;
        return report_;
    }

private:
    Status read_known() {
        Result<std::vector<DocumentStamp>> stamps = collection_.documents();
        if (!stamps.ok()) return stamps.error();
        for (DocumentStamp& stamp : *stamps) known_.emplace(stamp.path, std::move(stamp));
        return {};
    }

    Status take_files(const DocumentWalk& walk) {
        for (size_t i = 0; i < walk.files.size(); ++i) {
            listener_.progress(i, walk.files.size());
            if (Status taken = take(walk.files[i]); !taken.ok()) return taken;
        }
        listener_.progress(walk.files.size(), walk.files.size());
        return {};
    }

    Status take(const DocumentFile& file) {
        there_.insert(file.path.string());
        const auto known = known_.find(file.path.string());
        const DocumentStamp* old = known == known_.end() ? nullptr : &known->second;
        const Result<FileState> state = file_state(file.path);
        if (!state.ok()) return fail(file, state.error());
        const bool current = old != nullptr && old->recipe == kRecipe;
        if (current && *state == FileState{old->size, old->mtime_ns} &&
            old->source == file.source) {
            ++report_.n_unchanged;
            return {};
        }
        Result<FileContent> content = read_document_file(file.path, kDocumentBytesMax);
        if (!content.ok()) return fail(file, content.error());
        report_.bytes_read += content->bytes.size();
        const DocumentStamp stamp{file.path.string(),      file.source, content->state.size,
                                  content->state.mtime_ns, kRecipe,     hash_text(content->bytes)};
        if (current && old->hash == stamp.hash) {
            ++report_.n_unchanged;
            return collection_.restamp(stamp);
        }
        const Result<Document> document =
            read_document(file.path, document_format(file.path).value_or(DocumentFormat::kText),
                          std::move(content->bytes));
        if (!document.ok()) return fail(file, document.error());
        ++(old == nullptr ? report_.n_added : report_.n_replaced);
        return put(stamp, *document);
    }

    Status put(const DocumentStamp& stamp, const Document& document) {
        std::vector<DocumentChunk> chunks;
        cut_document(document, {},
                     [&](DocumentChunk chunk) { chunks.push_back(std::move(chunk)); });
        std::vector<float> vectors;
        vectors.reserve(chunks.size() * static_cast<size_t>(embedder_.n_dims()));
        std::vector<std::string_view> texts;
        for (size_t i = 0; i < chunks.size(); ++i) {
            texts.push_back(chunks[i].text);
            if (texts.size() < kTextsAtOnce && i + 1 < chunks.size()) continue;
            const Result<std::vector<float>> some = embedder_.embed(texts);
            if (!some.ok()) return some.error();
            vectors.insert(vectors.end(), some->begin(), some->end());
            texts.clear();
        }
        return collection_.put(stamp, chunks, embedder_.fingerprint(), vectors);
    }

    // The collection is whole: only this file is not.
    Status fail(const DocumentFile& file, const Error& error) {
        ++report_.n_failed;
        listener_.warn(file.path.string() + ": " + error.message);
        return {};
    }

    Status remove_gone(const DocumentWalk& walk) {
        for (const auto& [path, stamp] : known_) {
            if (there_.contains(path) || !is_below(path, walk.roots)) continue;
            if (is_below(path, walk.unread)) continue;
            if (Status removed = collection_.remove(path); !removed.ok()) return removed;
            ++report_.n_removed;
        }
        return {};
    }

    Status embed_anew() {
        const Result<int64_t> n_all = collection_.n_without_vector(embedder_.fingerprint());
        if (!n_all.ok()) return n_all.error();
        for (;;) {
            const auto texts = collection_.without_vector(embedder_.fingerprint(), kTextsAtOnce);
            if (!texts.ok()) return texts.error();
            if (texts->empty()) return {};
            std::vector<std::string_view> views;
            for (const Collection::TextToEmbed& each : *texts) views.push_back(each.text);
            const Result<std::vector<float>> vectors = embedder_.embed(views);
            if (!vectors.ok()) return vectors.error();
            Status set = collection_.set_vectors(*texts, embedder_.fingerprint(), *vectors);
            if (!set.ok()) return set;
            report_.n_embedded_anew += texts->size();
            listener_.progress(report_.n_embedded_anew,
                               std::max(report_.n_embedded_anew, static_cast<size_t>(*n_all)));
        }
    }

    Collection& collection_;
    const TextEmbedder& embedder_;
    const IngestListener& listener_;
    std::map<std::string, DocumentStamp> known_;  // by path
    std::unordered_set<std::string> there_;       // paths that were found
    IngestReport report_;
};

}  // namespace

Result<IngestReport> ingest(Collection& collection, const TextEmbedder& embedder,
                            std::span<const std::filesystem::path> paths,
                            const IngestListener& listener) {
    return Ingestion(collection, embedder, listener).run(paths);
}

}  // namespace spolia
