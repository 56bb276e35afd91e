#include "broker/rag/database.h"

#include <sqlite3.h>

#include <cassert>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "index/bytes.h"

namespace spolia {
namespace {

constexpr int kBusyMs = 10'000;
constexpr std::chrono::milliseconds kBusyPause{2};

ErrorCode code_of(int sqlite_code) {
    switch (sqlite_code & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return ErrorCode::kOverloaded;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return ErrorCode::kCorrupt;
        case SQLITE_NOMEM: return ErrorCode::kOutOfMemory;
        case SQLITE_IOERR:
        case SQLITE_FULL:
        case SQLITE_CANTOPEN:
        case SQLITE_READONLY:
        case SQLITE_PERM: return ErrorCode::kIo;
        default: return ErrorCode::kInternal;
    }
}

Error failure(sqlite3* database, const std::string& name) {
    return {code_of(sqlite3_errcode(database)), name + ": " + sqlite3_errmsg(database)};
}

}  // namespace

SqlStatement::SqlStatement(sqlite3_stmt* statement, const std::string& name)
    : statement_(statement), name_(&name) {}

SqlStatement::~SqlStatement() { sqlite3_finalize(statement_); }

SqlStatement::SqlStatement(SqlStatement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)),
      name_(other.name_),
      n_bound_(other.n_bound_) {}

void SqlStatement::reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    n_bound_ = 0;
}

void SqlStatement::bind_integer(int64_t value) {
    sqlite3_bind_int64(statement_, ++n_bound_, value);
}

// A null pointer would be NULL in SQL.
void SqlStatement::bind(std::string_view text) {
    sqlite3_bind_text64(statement_, ++n_bound_, text.empty() ? "" : text.data(), text.size(),
                        SQLITE_TRANSIENT, SQLITE_UTF8);
}

void SqlStatement::bind(const Blob& blob) {
    sqlite3_bind_blob64(statement_, ++n_bound_, blob.bytes.empty() ? "" : blob.bytes.data(),
                        blob.bytes.size(), SQLITE_TRANSIENT);
}

void SqlStatement::bind(const Key128& key) {
    std::string bytes;
    put(bytes, key);
    bind(Blob{bytes});
}

Result<bool> SqlStatement::next() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return failure(sqlite3_db_handle(statement_), *name_);
}

Status SqlStatement::run() {
    const Result<bool> row = next();
    if (!row.ok()) return row.error();
    assert(!*row);
    return {};
}

int64_t SqlStatement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqlStatement::text(int column) const { return std::string(bytes(column)); }

std::string_view SqlStatement::bytes(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int n = sqlite3_column_bytes(statement_, column);
    return {static_cast<const char*>(bytes), static_cast<size_t>(n)};
}

Key128 SqlStatement::key(int column) const { return ByteReader(bytes(column)).take_key(); }

Database::Database(sqlite3* database, std::string name)
    : database_(database), name_(std::move(name)) {}

Database::~Database() { sqlite3_close(database_); }

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& file, Access access,
                                                 std::string name) {
    std::error_code ignored;
    if (access == Access::kExisting && !std::filesystem::exists(file, ignored)) {
        return Error{ErrorCode::kNotFound, "there is no " + name};
    }
    sqlite3* handle = nullptr;
    const int create = access == Access::kCreate ? SQLITE_OPEN_CREATE : 0;
    const int code = sqlite3_open_v2(file.c_str(), &handle,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | create, nullptr);
    // There is a handle, and something to close, even where opening failed.
    std::unique_ptr<Database> database(new Database(handle, std::move(name)));
    if (code != SQLITE_OK) return failure(handle, database->name_);
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, kBusyMs);
    return database;
}

bool Database::was_moved() const {
    int moved = 0;
    sqlite3_file_control(database_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved != 0;
}

Result<SqlStatement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()),
                                        &statement, nullptr);
    if (code != SQLITE_OK) return failure(database_, name_);
    return SqlStatement(statement, name_);
}

Status Database::execute(const char* sql) {
    if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
        return failure(database_, name_);
    }
    return {};
}

// SQLite does not wait here where two would have to wait for each other.
Status Database::use_write_ahead_log() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyMs);
    for (;;) {
        const int code =
            sqlite3_exec(database_, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
        if (code == SQLITE_OK) return {};
        const bool busy = (code & 0xff) == SQLITE_BUSY;
        if (!busy || std::chrono::steady_clock::now() > deadline) return failure(database_, name_);
        std::this_thread::sleep_for(kBusyPause);
    }
}

int64_t Database::last_row() const { return sqlite3_last_insert_rowid(database_); }

Result<int64_t> Database::number(std::string_view sql) {
    Result<SqlStatement> statement = prepare(sql);
    if (!statement.ok()) return statement.error();
    const Result<bool> row = statement->next();
    if (!row.ok()) return row.error();
    return *row ? statement->integer(0) : 0;
}

Result<Transaction> Transaction::begin(Database& database) {
    if (Status begun = database.execute("BEGIN IMMEDIATE"); !begun.ok()) return begun.error();
    return Transaction(database);
}

Result<Transaction> Transaction::begin_reading(Database& database) {
    if (Status begun = database.execute("BEGIN"); !begun.ok()) return begun.error();
    return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
    // Where this fails, SQLite has rolled back already.
    if (database_ != nullptr) (void)database_->execute("ROLLBACK");
}

Status Transaction::commit() {
    Status committed = database_->execute("COMMIT");
    if (committed.ok()) database_ = nullptr;
    return committed;
}

}  // namespace spolia
