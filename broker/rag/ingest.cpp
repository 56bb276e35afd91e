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
constexpr size_t kNameBytesMax = 1024;

DocumentFormat format_of(const TextDocument& text) {
    switch (text.format) {
        case TextFormat::kMarkdown: return DocumentFormat::kMarkdown;
        case TextFormat::kHtml: return DocumentFormat::kHtml;
        case TextFormat::kPlain: break;
    }
    return DocumentFormat::kText;
}

Status check(const TextDocument& text) {
    if (text.name.empty() || text.name.size() > kNameBytesMax) {
        return invalid("a document's name has 1 to " + std::to_string(kNameBytesMax) + " bytes");
    }
    if (text.text.size() <= kDocumentBytesMax) return {};
    return invalid("it is longer than " + std::to_string(kDocumentBytesMax >> 20) + " MiB");
}

// The same text in another format makes other chunks.
DocumentStamp stamp_of(const TextDocument& text) {
    const Key128 hash =
        hash_text(static_cast<char>('0' + static_cast<int>(text.format)) + text.text);
    return {text_path(text.name), text.name, text.text.size(), 0, kRecipe, hash};
}

class Ingestion {
public:
    Ingestion(CollectionDatabase& collection, const TextEmbedder& embedder,
              const IngestListener& listener)
        : collection_(collection), embedder_(embedder), listener_(listener) {}

    Result<IngestReport> run(std::span<const std::filesystem::path> paths) {
        const Result<DocumentWalk> walk = find_documents(paths);
        if (!walk.ok()) return walk.error();
        n_all_ = walk->files.size();
        for (const std::string& warning : walk->warnings) warn(warning);
        report_.n_failed += walk->unread.size();
        Status done = read_known();
        if (done.ok()) done = take_all(walk->files);
        if (done.ok()) done = remove_gone(*walk);
        if (done.ok()) done = embed_anew();
        return finish(done);
    }

    Result<IngestReport> run(std::span<const TextDocument> texts) {
        n_all_ = texts.size();
        Status done = read_known();
        if (done.ok()) done = take_all(texts);
        if (done.ok()) done = embed_anew();
        return finish(done);
    }

private:
    Result<IngestReport> finish(const Status& done) {
        if (!done.ok() && !report_.cancelled) return done.error();
        return std::move(report_);
    }

    void warn(std::string what) {
        if (listener_.warn) listener_.warn(what);
        report_.warnings.push_back(std::move(what));
    }

    // kCancelled where the listener wants no more.
    Status tell_progress() {
        if (!listener_.progress || listener_.progress(n_done_, n_all_)) return {};
        report_.cancelled = true;
        return Error{ErrorCode::kCancelled, "ingesting was cancelled"};
    }

    Status read_known() {
        Result<std::vector<DocumentStamp>> stamps = collection_.documents();
        if (!stamps.ok()) return stamps.error();
        for (DocumentStamp& stamp : *stamps) known_.emplace(stamp.path, std::move(stamp));
        return {};
    }

    // What the collection has of a document, if that was made as it would be now.
    const DocumentStamp* current(const std::string& path) const {
        const auto known = known_.find(path);
        return known != known_.end() && known->second.recipe == kRecipe ? &known->second : nullptr;
    }

    template <class Documents>
    Status take_all(const Documents& documents) {
        for (const auto& document : documents) {
            if (Status wanted = tell_progress(); !wanted.ok()) return wanted;
            if (Status taken = take(document); !taken.ok()) return taken;
            ++n_done_;
        }
        return tell_progress();
    }

    Status take(const DocumentFile& file) {
        there_.insert(file.path.string());
        const DocumentStamp* old = current(file.path.string());
        const Result<FileState> state = file_state(file.path);
        if (!state.ok()) return fail(file.path.string(), state.error());
        if (old != nullptr && *state == FileState{old->size, old->mtime_ns} &&
            old->source == file.source) {
            ++report_.n_unchanged;
            return {};
        }
        Result<FileContent> content = read_document_file(file.path, kDocumentBytesMax);
        if (!content.ok()) return fail(file.path.string(), content.error());
        report_.bytes_read += content->bytes.size();
        const DocumentStamp stamp{file.path.string(),      file.source, content->state.size,
                                  content->state.mtime_ns, kRecipe,     hash_text(content->bytes)};
        if (old != nullptr && old->hash == stamp.hash) {
            ++report_.n_unchanged;
            return collection_.restamp(stamp);
        }
        const Result<Document> document =
            read_document(file.path, document_format(file.path).value_or(DocumentFormat::kText),
                          std::move(content->bytes));
        return document.ok() ? put(stamp, *document) : fail(file.path.string(), document.error());
    }

    Status take(const TextDocument& text) {
        if (const Status good = check(text); !good.ok()) return fail(text.name, good.error());
        report_.bytes_read += text.text.size();
        const DocumentStamp stamp = stamp_of(text);
        const DocumentStamp* old = current(stamp.path);
        if (old != nullptr && old->hash == stamp.hash) {
            ++report_.n_unchanged;
            return {};
        }
        const Result<Document> document = read_document({}, format_of(text), text.text);
        return document.ok() ? put(stamp, *document) : fail(text.name, document.error());
    }

    Status put(const DocumentStamp& stamp, const Document& document) {
        std::vector<DocumentChunk> chunks;
        cut_document(document, {},
                     [&](DocumentChunk chunk) { chunks.push_back(std::move(chunk)); });
        const Result<std::vector<float>> vectors = embed(chunks);
        if (!vectors.ok()) return vectors.error();
        Status stored = collection_.put(stamp, chunks, embedder_.fingerprint(), *vectors);
        if (!stored.ok()) return stored;
        const bool added = known_.insert_or_assign(stamp.path, stamp).second;
        ++(added ? report_.n_added : report_.n_replaced);
        return {};
    }

    Result<std::vector<float>> embed(std::span<const DocumentChunk> chunks) {
        std::vector<float> vectors;
        vectors.reserve(chunks.size() * static_cast<size_t>(embedder_.n_dims()));
        while (!chunks.empty()) {
            std::vector<std::string_view> texts;
            for (const DocumentChunk& chunk : chunks.first(std::min(chunks.size(), kTextsAtOnce))) {
                texts.push_back(chunk.text);
            }
            const Result<std::vector<float>> some = embedder_.embed(texts);
            if (!some.ok()) return some.error();
            vectors.insert(vectors.end(), some->begin(), some->end());
            chunks = chunks.subspan(texts.size());
            if (chunks.empty()) break;
            if (Status wanted = tell_progress(); !wanted.ok()) return wanted.error();
        }
        return vectors;
    }

    // The collection is whole: only this document is not.
    Status fail(const std::string& name, const Error& error) {
        ++report_.n_failed;
        warn(name + ": " + error.message);
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

    // Chunks that another embedder was used for. Walks over them once: somebody who ingests with
    // that one gives them its vectors at the same time.
    Status embed_anew() {
        const Result<int64_t> n_all = collection_.n_without_vector(embedder_.fingerprint());
        if (!n_all.ok()) return n_all.error();
        n_all_ = static_cast<size_t>(*n_all);
        int64_t row = 0;
        for (;;) {
            const auto texts =
                collection_.without_vector(embedder_.fingerprint(), row, kTextsAtOnce);
            if (!texts.ok()) return texts.error();
            if (texts->empty()) return {};
            row = texts->back().row;
            std::vector<std::string_view> views;
            for (const CollectionDatabase::ChunkText& each : *texts) views.push_back(each.text);
            const Result<std::vector<float>> vectors = embedder_.embed(views);
            if (!vectors.ok()) return vectors.error();
            Status set = collection_.set_vectors(*texts, embedder_.fingerprint(), *vectors);
            if (!set.ok()) return set;
            report_.n_embedded_anew += texts->size();
            n_done_ = report_.n_embedded_anew;
            if (Status wanted = tell_progress(); !wanted.ok()) return wanted;
        }
    }

    CollectionDatabase& collection_;
    const TextEmbedder& embedder_;
    const IngestListener& listener_;
    std::map<std::string, DocumentStamp> known_;  // by path
    std::unordered_set<std::string> there_;       // paths that were found
    size_t n_done_ = 0;
    size_t n_all_ = 0;
    IngestReport report_;
};

}  // namespace

std::string text_path(std::string_view name) { return "text:" + std::string(name); }

Result<IngestReport> ingest_files(CollectionDatabase& collection, const TextEmbedder& embedder,
                                  std::span<const std::filesystem::path> paths,
                                  const IngestListener& listener) {
    return Ingestion(collection, embedder, listener).run(paths);
}

Result<IngestReport> ingest_texts(CollectionDatabase& collection, const TextEmbedder& embedder,
                                  std::span<const TextDocument> texts,
                                  const IngestListener& listener) {
    return Ingestion(collection, embedder, listener).run(texts);
}

}  // namespace spolia
