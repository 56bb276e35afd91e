#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "index/fingerprint.h"
#include "index/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace spolia {

// A text or a blob of a row; bytes that live as long as the call they are given to, or until the
// statement goes on.
struct Blob {
    std::string_view bytes;
};

// A compiled SQL statement. Values are bound in the order of its question marks.
class SqlStatement {
public:
    ~SqlStatement();
    SqlStatement(SqlStatement&& other) noexcept;
    SqlStatement& operator=(SqlStatement&&) = delete;

    // Starts again, with new values.
    template <class... Values>
    SqlStatement& with(const Values&... values) {
        reset();
        (bind(values), ...);
        return *this;
    }

    // True when there is a row, which the functions below read; false behind the last one.
    Result<bool> next();
    // For statements without rows.
    Status run();

    int64_t integer(int column) const;
    std::string text(int column) const;
    std::string_view bytes(int column) const;
    // Zeros where there are no 16 bytes.
    Key128 key(int column) const;

private:
    friend class Database;
    SqlStatement(sqlite3_stmt* statement, const std::string& name);

    void reset();
    template <std::integral T>
    void bind(T value) {
        bind_integer(static_cast<int64_t>(value));
    }
    void bind(std::string_view text);
    void bind(const Blob& blob);
    void bind(const Key128& key);
    void bind_integer(int64_t value);

    sqlite3_stmt* statement_;
    const std::string* name_;  // the database's, for messages
    int n_bound_ = 0;
};

// A SQLite file. One thread at a time. Writes of other processes are waited for, for a while.
class Database {
public:
    enum class Access { kExisting, kCreate };

    // kNotFound: there is no such file. `name` is what messages call it.
    static Result<std::unique_ptr<Database>> open(const std::filesystem::path& file, Access access,
                                                  std::string name);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    // What messages call it.
    const std::string& name() const { return name_; }
    // Its file was removed, or stands elsewhere now.
    bool was_moved() const;
    // The statement must not outlive the database.
    Result<SqlStatement> prepare(std::string_view sql);
    // Statements without values and rows, separated by semicolons.
    Status execute(const char* sql);
    // As all who use the file do. Waits for others to have set it.
    Status use_write_ahead_log();
    // The id of the row that was inserted last.
    int64_t last_row() const;
    // The first column of a statement's first row; 0 when there is none.
    Result<int64_t> number(std::string_view sql);

private:
    Database(sqlite3* database, std::string name);

    sqlite3* database_;
    const std::string name_;
};

// Takes back what was written since it began, unless it was committed.
class Transaction {
public:
    static Result<Transaction> begin(Database& database);
    // For reading only: sees the database as it is at the first read.
    static Result<Transaction> begin_reading(Database& database);
    ~Transaction();
    Transaction(Transaction&& other) noexcept;
    Transaction& operator=(Transaction&&) = delete;

    Status commit();

private:
    explicit Transaction(Database& database) : database_(&database) {}

    Database* database_;
};

}  // namespace spolia
