#include "broker/rag/collection_database.h"

#include <cassert>
#include <cstring>
#include <utility>

#include "broker/rag/word_query.h"
#include "index/bytes.h"

namespace spolia {
namespace {

// "SPOL", and the version of the tables.
constexpr int64_t kApplicationId = 0x53504f4c;
constexpr int64_t kVersion = 1;

// `hashsize` is the memory for words that are not written yet: with FTS5's 1 MB it takes twice as
// long.
constexpr const char* kTables = R"(
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    recipe INTEGER NOT NULL,
    hash BLOB NOT NULL);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES documents,
    ordinal INTEGER NOT NULL,
    heading TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE INDEX chunks_of_document ON chunks (document);
CREATE TABLE vectors (
    chunk INTEGER PRIMARY KEY REFERENCES chunks,
    embedder BLOB NOT NULL,
    vector BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'chunks', content_rowid = 'id',
    tokenize = 'porter unicode61 remove_diacritics 2');
INSERT INTO words (words, rank) VALUES ('hashsize', 16777216);
PRAGMA application_id = 0x53504f4c;
PRAGMA user_version = 1;
)";

Key128 key_of(std::string_view path, int64_t ordinal, std::string_view text) {
    std::string bytes;
    put(bytes, std::string(path));
    put(bytes, ordinal);
    bytes += text;
    return hash_text(bytes);
}

std::string_view bytes_of(std::span<const float> floats) {
    return {reinterpret_cast<const char*>(floats.data()), floats.size_bytes()};
}

// Runs a statement that gives no rows.
template <class... Values>
Status run(Database& database, std::string_view sql, const Values&... values) {
    Result<SqlStatement> statement = database.prepare(sql);
    if (!statement.ok()) return statement.error();
    return statement->with(values...).run();
}

// Calls `read` with each row of a statement.
template <class Read, class... Values>
Status for_each_row(Database& database, std::string_view sql, const Read& read,
                    const Values&... values) {
    Result<SqlStatement> statement = database.prepare(sql);
    if (!statement.ok()) return statement.error();
    statement->with(values...);
    for (;;) {
        const Result<bool> row = statement->next();
        if (!row.ok()) return row.error();
        if (!*row) return {};
        read(*statement);
    }
}

}  // namespace

Result<std::unique_ptr<CollectionDatabase>> CollectionDatabase::open(
    const std::filesystem::path& file, Database::Access access, const std::string& name) {
    Result<std::unique_ptr<Database>> database =
        Database::open(file, access, "collection '" + name + "'");
    if (!database.ok()) return database.error();
    std::unique_ptr<CollectionDatabase> collection(new CollectionDatabase(*std::move(database)));
    if (Status ready = collection->prepare_tables(); !ready.ok()) return ready.error();
    return collection;
}

Result<bool> CollectionDatabase::has_tables() {
    const Result<int64_t> application = database_->number("PRAGMA application_id");
    if (!application.ok()) return application.error();
    const Result<int64_t> version = database_->number("PRAGMA user_version");
    if (!version.ok()) return version.error();
    if (*application == kApplicationId && *version == kVersion) return true;
    const Result<int64_t> n_tables = database_->number("SELECT count(*) FROM sqlite_schema");
    if (!n_tables.ok()) return n_tables.error();
    if (*n_tables == 0) return false;
    return Error{ErrorCode::kCorrupt,
                 database_->name() + ": its file is no collection of this version"};
}

// In a snapshot of its own: another process may be making them.
Result<bool> CollectionDatabase::has_tables_now() {
    const Result<Transaction> snapshot = this->snapshot();
    if (!snapshot.ok()) return snapshot.error();
    return has_tables();
}

Status CollectionDatabase::prepare_tables() {
    // Before anything is set: what belongs to another program stays as it is.
    Result<bool> ready = has_tables_now();
    if (!ready.ok()) return ready.error();
    // A crash of the machine may take the last documents back, but never breaks the file.
    if (Status set = database_->use_write_ahead_log(); !set.ok()) return set;
    Status set = database_->execute("PRAGMA synchronous = NORMAL");
    if (!set.ok() || *ready) return set;
    Result<Transaction> transaction = Transaction::begin(*database_);
    if (!transaction.ok()) return transaction.error();
    ready = has_tables();  // another process may have made them
    if (!ready.ok()) return ready.error();
    if (*ready) return {};
    if (Status made = database_->execute(kTables); !made.ok()) return made;
    return transaction->commit();
}

Result<std::vector<DocumentStamp>> CollectionDatabase::documents() {
    std::vector<DocumentStamp> stamps;
    const Status read = for_each_row(
        *database_,
        "SELECT path, source, size, mtime_ns, recipe, hash FROM documents ORDER BY path",
        [&](const SqlStatement& row) {
            stamps.push_back({row.text(0), row.text(1), static_cast<uint64_t>(row.integer(2)),
                              row.integer(3), row.integer(4), row.key(5)});
        });
    if (!read.ok()) return read.error();
    return stamps;
}

Status CollectionDatabase::erase(std::string_view path) {
    constexpr const char* kSteps[] = {
        "INSERT INTO words (words, rowid, text) SELECT 'delete', chunks.id, text FROM chunks "
        "JOIN documents ON documents.id = document WHERE path = ?",
        "DELETE FROM vectors WHERE chunk IN (SELECT chunks.id FROM chunks "
        "JOIN documents ON documents.id = document WHERE path = ?)",
        "DELETE FROM chunks WHERE document = (SELECT id FROM documents WHERE path = ?)",
        "DELETE FROM documents WHERE path = ?"};
    for (const char* step : kSteps) {
        if (Status erased = run(*database_, step, path); !erased.ok()) return erased;
    }
    return {};
}

Status CollectionDatabase::put(const DocumentStamp& stamp, std::span<const DocumentChunk> chunks,
                               const Key128& embedder, std::span<const float> vectors) {
    Result<Transaction> transaction = Transaction::begin(*database_);
    if (!transaction.ok()) return transaction.error();
    if (Status erased = erase(stamp.path); !erased.ok()) return erased;
    Status added =
        run(*database_,
            "INSERT INTO documents (path, source, size, mtime_ns, recipe, hash) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            stamp.path, stamp.source, stamp.size, stamp.mtime_ns, stamp.recipe, stamp.hash);
    if (!added.ok()) return added;
    added = put_chunks(stamp.path, database_->last_row(), chunks, embedder, vectors);
    return added.ok() ? transaction->commit() : added;
}

Status CollectionDatabase::put_chunks(std::string_view path, int64_t document,
                                      std::span<const DocumentChunk> chunks, const Key128& embedder,
                                      std::span<const float> vectors) {
    if (chunks.empty()) return {};
    Result<SqlStatement> chunk = database_->prepare(
        "INSERT INTO chunks (key, document, ordinal, heading, text) VALUES (?, ?, ?, ?, ?)");
    if (!chunk.ok()) return chunk.error();
    Result<SqlStatement> words =
        database_->prepare("INSERT INTO words (rowid, text) VALUES (?, ?)");
    if (!words.ok()) return words.error();
    Result<SqlStatement> vector =
        database_->prepare("INSERT INTO vectors (chunk, embedder, vector) VALUES (?, ?, ?)");
    if (!vector.ok()) return vector.error();
    const size_t n_dims = vectors.size() / chunks.size();
    for (size_t i = 0; i < chunks.size(); ++i) {
        const auto& [heading, text] = chunks[i];
        const Key128 key = key_of(path, static_cast<int64_t>(i), text);
        Status added = chunk->with(key, document, i, heading, text).run();
        if (!added.ok()) return added;
        const int64_t row = database_->last_row();
        added = words->with(row, text).run();
        if (!added.ok()) return added;
        const Blob bytes{bytes_of(vectors.subspan(i * n_dims, n_dims))};
        added = vector->with(row, embedder, bytes).run();
        if (!added.ok()) return added;
    }
    return {};
}

Status CollectionDatabase::restamp(const DocumentStamp& stamp) {
    return run(*database_, "UPDATE documents SET source = ?, size = ?, mtime_ns = ? WHERE path = ?",
               stamp.source, stamp.size, stamp.mtime_ns, stamp.path);
}

Status CollectionDatabase::remove(std::string_view path) {
    Result<Transaction> transaction = Transaction::begin(*database_);
    if (!transaction.ok()) return transaction.error();
    Status erased = erase(path);
    return erased.ok() ? transaction->commit() : erased;
}

Result<size_t> CollectionDatabase::remove_source(std::string_view source) {
    Result<Transaction> transaction = Transaction::begin(*database_);
    if (!transaction.ok()) return transaction.error();
    std::vector<std::string> paths;
    const Status read = for_each_row(
        *database_, "SELECT path FROM documents WHERE source = ?",
        [&](const SqlStatement& row) { paths.push_back(row.text(0)); }, source);
    if (!read.ok()) return read.error();
    for (const std::string& path : paths) {
        if (Status erased = erase(path); !erased.ok()) return erased.error();
    }
    if (Status committed = transaction->commit(); !committed.ok()) return committed.error();
    return paths.size();
}

Result<std::vector<CollectionDatabase::ChunkText>> CollectionDatabase::texts_behind(int64_t row,
                                                                                    size_t n_max) {
    std::vector<ChunkText> texts;
    const Status read = for_each_row(
        *database_, "SELECT id, text FROM chunks WHERE id > ? ORDER BY id LIMIT ?",
        [&](const SqlStatement& each) {
            texts.push_back({each.integer(0), each.text(1)});
        },
        row, n_max);
    if (!read.ok()) return read.error();
    return texts;
}

Result<std::vector<CollectionDatabase::ChunkText>> CollectionDatabase::without_vector(
    const Key128& embedder, int64_t row, size_t n_max) {
    std::vector<ChunkText> texts;
    const Status read = for_each_row(
        *database_,
        "SELECT id, text FROM chunks LEFT JOIN vectors ON chunk = id "
        "WHERE id > ? AND embedder IS NOT ? ORDER BY id LIMIT ?",
        [&](const SqlStatement& each) {
            texts.push_back({each.integer(0), each.text(1)});
        },
        row, embedder, n_max);
    if (!read.ok()) return read.error();
    return texts;
}

Result<int64_t> CollectionDatabase::n_without_vector(const Key128& embedder) {
    int64_t n = 0;
    const Status read = for_each_row(
        *database_,
        "SELECT count(*) FROM chunks LEFT JOIN vectors ON chunk = id WHERE embedder IS NOT ?",
        [&](const SqlStatement& row) { n = row.integer(0); }, embedder);
    if (!read.ok()) return read.error();
    return n;
}

Status CollectionDatabase::set_vectors(std::span<const ChunkText> texts, const Key128& embedder,
                                       std::span<const float> vectors) {
    Result<Transaction> transaction = Transaction::begin(*database_);
    if (!transaction.ok()) return transaction.error();
    Result<SqlStatement> vector = database_->prepare(
        "INSERT OR REPLACE INTO vectors (chunk, embedder, vector) "
        "SELECT id, ?, ? FROM chunks WHERE id = ? AND text = ?");
    if (!vector.ok()) return vector.error();
    const size_t n_dims = texts.empty() ? 0 : vectors.size() / texts.size();
    for (size_t i = 0; i < texts.size(); ++i) {
        const Blob bytes{bytes_of(vectors.subspan(i * n_dims, n_dims))};
        const Status set = vector->with(embedder, bytes, texts[i].row, texts[i].text).run();
        if (!set.ok()) return set;
    }
    return transaction->commit();
}

Result<CollectionSize> CollectionDatabase::size() {
    CollectionSize size;
    const Status read = for_each_row(*database_,
                                     "SELECT (SELECT count(*) FROM documents), count(*), "
                                     "ifnull(sum(length(cast(text AS BLOB))), 0) FROM chunks",
                                     [&](const SqlStatement& row) {
                                         size = {row.integer(0), row.integer(1), row.integer(2)};
                                     });
    if (!read.ok()) return read.error();
    return size;
}

Result<int64_t> CollectionDatabase::version() { return database_->number("PRAGMA data_version"); }

Result<CollectionDatabase::VectorPlaces> CollectionDatabase::vector_places(const Key128& embedder) {
    VectorPlaces found;
    const Status read = for_each_row(
        *database_, "SELECT key, id, embedder IS ? FROM chunks LEFT JOIN vectors ON chunk = id",
        [&](const SqlStatement& row) {
            if (row.integer(2) != 0) {
                found.places.push_back({row.key(0), row.integer(1)});
            } else {
                ++found.n_without;
            }
        },
        embedder);
    if (!read.ok()) return read.error();
    return found;
}

Status CollectionDatabase::read_vectors(std::span<const VectorPlace> places,
                                        const TakeVector& take) {
    Result<SqlStatement> statement =
        database_->prepare("SELECT vector FROM vectors WHERE chunk = ?");
    if (!statement.ok()) return statement.error();
    std::vector<float> vector;
    for (const VectorPlace& place : places) {
        const Result<bool> row = statement->with(place.row).next();
        if (!row.ok()) return row.error();
        assert(*row);
        const std::string_view bytes = statement->bytes(0);
        vector.resize(bytes.size() / sizeof(float));
        std::memcpy(vector.data(), bytes.data(), vector.size() * sizeof(float));
        if (Status taken = take(place.chunk, vector); !taken.ok()) return taken;
    }
    return {};
}

Result<std::vector<Key128>> CollectionDatabase::ranked_by_words(std::string_view query,
                                                                size_t n_max) {
    std::vector<Key128> keys;
    const std::string words = word_query(query);
    if (words.empty()) return keys;
    const Status read = for_each_row(
        *database_,
        "SELECT key FROM words JOIN chunks ON chunks.id = words.rowid "
        "WHERE words MATCH ? ORDER BY bm25(words), key LIMIT ?",
        [&](const SqlStatement& row) { keys.push_back(row.key(0)); }, words, n_max);
    if (!read.ok()) return read.error();
    return keys;
}

Result<std::optional<StoredChunk>> CollectionDatabase::chunk(const Key128& key) {
    std::optional<StoredChunk> chunk;
    const Status read = for_each_row(
        *database_,
        "SELECT source, heading, text, path, ordinal FROM chunks "
        "JOIN documents ON documents.id = chunks.document WHERE key = ?",
        [&](const SqlStatement& row) {
            chunk = {key, row.text(0), row.text(1), row.text(2), row.text(3), row.integer(4)};
        },
        key);
    if (!read.ok()) return read.error();
    return chunk;
}

}  // namespace spolia
