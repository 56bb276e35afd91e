#include "broker/sdk/local_collection.h"

#include <future>
#include <memory>
#include <utility>

#include "broker/rag/ingest.h"
#include "index/lines.h"

namespace spolia {
namespace {

constexpr size_t kTextsAtOnce = 256;

// Waits until a text's chunks are encoded, and returns how many it has.
Result<size_t> encode(Service& service, const std::string& tenant, const std::string& text) {
    const auto promise = std::make_shared<std::promise<Result<size_t>>>();
    std::future<Result<size_t>> future = promise->get_future();
    service.encode_text(tenant, text, [promise](const Result<std::vector<ChunkInfo>>& chunks) {
        promise->set_value(chunks.ok() ? Result<size_t>(chunks->size()) : chunks.error());
    });
    return future.get();
}

// Holds no file open: writers of one process then stand to each other as those of several do.
class LocalCollection final : public Collection {
public:
    LocalCollection(Service& service, CollectionStore& store, const TextEmbedder& ingest_embedder,
                    std::string tenant, std::string name)
        : service_(service),
          store_(store),
          ingest_embedder_(ingest_embedder),
          tenant_(std::move(tenant)),
          name_(std::move(name)) {}

    const std::string& name() const override { return name_; }

    Result<IngestReport> ingest(const std::vector<std::filesystem::path>& paths,
                                const IngestListener& listener) override {
        const auto file = open(Database::Access::kCreate);
        if (!file.ok()) return file.error();
        return ingest_files(**file, ingest_embedder_, paths, listener);
    }

    Result<IngestReport> add_documents(const std::vector<TextDocument>& documents,
                                       const IngestListener& listener) override {
        const auto file = open(Database::Access::kCreate);
        if (!file.ok()) return file.error();
        return ingest_texts(**file, ingest_embedder_, documents, listener);
    }

    Result<size_t> remove_document(const std::string& name) override {
        const auto file = open(Database::Access::kExisting);
        if (!file.ok()) return file.error();
        return (*file)->remove_source(name);
    }

    Result<std::vector<DocumentInfo>> documents() const override {
        const auto file = open(Database::Access::kExisting);
        if (!file.ok()) return file.error();
        const Result<std::vector<DocumentStamp>> stamps = (*file)->documents();
        if (!stamps.ok()) return stamps.error();
        std::vector<DocumentInfo> infos;
        for (const DocumentStamp& stamp : *stamps) {
            const bool is_text = stamp.path == text_path(stamp.source);
            infos.push_back({stamp.source, is_text ? "" : stamp.path, stamp.size});
        }
        return infos;
    }

    Result<CollectionSize> size() const override {
        const auto file = open(Database::Access::kExisting);
        if (!file.ok()) return file.error();
        return (*file)->size();
    }

    Result<std::vector<ScoredChunk>> retrieve(const std::string& query, int32_t k,
                                              ChunkOrder order) const override {
        if (trim_spaces(query).empty()) return invalid("there is no query to retrieve for");
        if (k < 1 || k > kRetrievedMax) {
            return invalid("from 1 to " + std::to_string(kRetrievedMax) +
                           " chunks can be retrieved, not " + std::to_string(k));
        }
        Result<std::vector<RetrievedChunk>> found =
            store_.retrieve(tenant_, name_, query, static_cast<size_t>(k));
        if (!found.ok()) return found.error();
        if (order == ChunkOrder::kDocument) put_in_document_order(*found);
        std::vector<ScoredChunk> chunks;
        for (auto& [chunk, score] : *found) {
            const bool warm = service_.is_warm(tenant_, chunk.text);
            chunks.push_back({chunk.key.hex(), std::move(chunk.source), std::move(chunk.heading),
                              std::move(chunk.text), score, warm});
        }
        return chunks;
    }

    Result<EncodeReport> encode_ahead(const OnProgress& progress) override {
        const auto file = open(Database::Access::kExisting);
        if (!file.ok()) return file.error();
        const Result<CollectionSize> size = (*file)->size();
        if (!size.ok()) return size.error();
        EncodeReport report;
        size_t n_done = 0;
        for (int64_t row = 0;;) {
            const auto texts = (*file)->texts_behind(row, kTextsAtOnce);
            if (!texts.ok()) return texts.error();
            for (const CollectionDatabase::ChunkText& each : *texts) {
                report.cancelled =
                    progress && !progress(n_done, static_cast<size_t>(size->n_chunks));
                if (report.cancelled) return report;
                if (Status done = encode(each.text, report); !done.ok()) return done.error();
                ++n_done;
                row = each.row;
            }
            if (texts->size() < kTextsAtOnce) break;
        }
        if (progress) progress(n_done, n_done);
        return report;
    }

private:
    Result<std::unique_ptr<CollectionDatabase>> open(Database::Access access) const {
        return store_.open(tenant_, name_, access);
    }

    Status encode(const std::string& text, EncodeReport& report) {
        if (service_.is_warm(tenant_, text)) {
            ++report.n_warm;
            return {};
        }
        const Result<size_t> n_chunks = spolia::encode(service_, tenant_, text);
        if (!n_chunks.ok()) return n_chunks.error();
        ++(*n_chunks == 0 ? report.n_too_short : report.n_encoded);
        return {};
    }

    Service& service_;
    CollectionStore& store_;
    const TextEmbedder& ingest_embedder_;
    const std::string tenant_;
    const std::string name_;
};

}  // namespace

Result<std::unique_ptr<Collection>> open_local_collection(Service& service, CollectionStore& store,
                                                          const TextEmbedder& ingest_embedder,
                                                          const std::string& tenant,
                                                          const std::string& name) {
    const auto file = store.open(tenant, name, Database::Access::kCreate);
    if (!file.ok()) return file.error();
    return std::unique_ptr<Collection>(
        std::make_unique<LocalCollection>(service, store, ingest_embedder, tenant, name));
}

}  // namespace spolia
