#include "index/vector_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "index/bytes.h"
#include "index/whole_file.h"

namespace spolia {
namespace {

constexpr std::string_view kMagic = "SPOLVEC1";
constexpr size_t kRowsPerFrame = 256;
constexpr size_t kFrameBytes = size_t{1} << 20;  // of a graph's frame
constexpr size_t kChecksumBytes = 16;

class FrameWriter {
public:
    explicit FrameWriter(FileDraft& file) : file_(file) {}

    Status put_frame(std::string_view payload) {
        std::string frame;
        frame.reserve(payload.size() + 2 * sizeof(uint32_t) + kChecksumBytes);
        put(frame, static_cast<uint32_t>(payload.size()));
        put(frame, n_frames_++);
        frame += payload;
        put_checksum(frame);
        return file_.write(frame);
    }

    // Over as many frames as it takes.
    Status put_frames(std::string_view bytes) {
        for (; !bytes.empty(); bytes.remove_prefix(std::min(kFrameBytes, bytes.size()))) {
            if (Status put = put_frame(bytes.substr(0, kFrameBytes)); !put) return put;
        }
        return {};
    }

private:
    FileDraft& file_;
    uint32_t n_frames_ = 0;
};

// Once a frame is not as it was written, it stays failed, and gives nothing.
class FrameReader {
public:
    FrameReader(std::istream& file, size_t frame_bytes_max)
        : file_(file), frame_bytes_max_(frame_bytes_max) {}

    // Valid until the next call.
    std::string_view take_frame() {
        frame_.resize(2 * sizeof(uint32_t));
        if (!read(0)) return {};
        ByteReader head(frame_);
        const size_t n_bytes = head.take<uint32_t>();
        ok_ = n_bytes <= frame_bytes_max_ && head.take<uint32_t>() == n_frames_++;
        const size_t begin = frame_.size();
        if (ok_) frame_.resize(begin + n_bytes + kChecksumBytes);
        if (!ok_ || !read(begin)) return {};
        const std::string_view checked = checked_bytes(frame_);
        ok_ = !checked.empty();
        return ok_ ? checked.substr(begin) : std::string_view();
    }

    // What put_frames() wrote of `n` elements.
    template <class T>
    std::vector<T> take_frames(uint64_t n) {
        std::vector<T> values;
        while (ok_ && values.size() < n) {
            const std::string_view bytes = take_frame();
            const uint64_t n_wanted =
                std::min<uint64_t>(kFrameBytes / sizeof(T), n - values.size());
            ok_ = ok_ && bytes.size() == n_wanted * sizeof(T);
            if (!ok_) return {};
            values.resize(values.size() + n_wanted);
            std::memcpy(values.data() + values.size() - n_wanted, bytes.data(), bytes.size());
        }
        return values;
    }

    bool ok() const { return ok_; }
    // Nothing is behind the last frame.
    bool done() { return ok_ && file_.peek() == std::istream::traits_type::eof(); }

private:
    bool read(size_t begin) {
        const auto n_bytes = static_cast<std::streamsize>(frame_.size() - begin);
        ok_ = ok_ && file_.read(frame_.data() + begin, n_bytes).gcount() == n_bytes;
        return ok_;
    }

    std::istream& file_;
    const size_t frame_bytes_max_;
    std::string frame_;
    uint32_t n_frames_ = 0;
    bool ok_ = true;
};

template <class T>
std::string_view bytes_of(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Status put_rows(FrameWriter& writer, const StoredPartition& partition) {
    const VectorRows& rows = *partition.rows;
    std::string bytes;
    for (size_t row = 0; row < partition.n_rows; ++row) {
        put(bytes, rows.id(row));
        put(bytes, static_cast<uint8_t>(rows.alive(row, partition.version)));
        bytes.append(reinterpret_cast<const char*>(rows.vector(row)),
                     rows.n_dims() * sizeof(float));
        if ((row + 1) % kRowsPerFrame != 0 && row + 1 != partition.n_rows) continue;
        if (Status put = writer.put_frame(bytes); !put) return put;
        bytes.clear();
    }
    return {};
}

Status put_partition(FrameWriter& writer, const StoredPartition& partition) {
    const VectorGraph::Parts graph =
        partition.graph ? partition.graph->parts() : VectorGraph::Parts();
    std::string head;
    put(head, partition.key);
    put(head, uint64_t{partition.n_rows});
    put(head, uint64_t{graph.n_levels.size()});
    put(head, uint64_t{graph.links.size()});
    put(head, graph.entry);
    if (Status put = writer.put_frame(head); !put) return put;
    if (Status put = put_rows(writer, partition); !put) return put;
    if (Status put = writer.put_frames(bytes_of(graph.n_levels)); !put) return put;
    return writer.put_frames(bytes_of(graph.links));
}

Error unusable(const std::filesystem::path& path, const char* how) {
    return {ErrorCode::kCorrupt, "the index of vectors in " + path.string() + " is " + how};
}

// Takes partitions out of a file behind its head.
class PartitionReader {
public:
    PartitionReader(const std::filesystem::path& path, FrameReader& frames, size_t n_dims,
                    const std::shared_ptr<VectorMemory>& memory)
        : path_(path), frames_(frames), n_dims_(n_dims), memory_(memory) {}

    Result<StoredPartition> take();

private:
    Status take_rows(VectorRows& rows, uint64_t n_rows);
    Error damaged() const { return unusable(path_, "damaged"); }

    const std::filesystem::path& path_;
    FrameReader& frames_;
    const size_t n_dims_;
    const std::shared_ptr<VectorMemory>& memory_;
};

Status PartitionReader::take_rows(VectorRows& rows, uint64_t n_rows) {
    std::vector<float> vector(n_dims_);
    while (rows.size() < n_rows) {
        ByteReader frame(frames_.take_frame());
        const uint64_t n_wanted = std::min<uint64_t>(kRowsPerFrame, n_rows - rows.size());
        for (uint64_t i = 0; i < n_wanted; ++i) {
            const Key128 id = frame.take_key();
            const auto alive = frame.take<uint8_t>();
            const std::string_view floats = frame.take_bytes(n_dims_ * sizeof(float));
            if (!frame.ok()) return damaged();
            std::memcpy(vector.data(), floats.data(), floats.size());
            if (Status added = rows.append(id, vector); !added) return added;
            if (alive == 0) rows.remove(rows.size() - 1, 0);
        }
        if (!frame.done()) return damaged();
    }
    return {};
}

Result<StoredPartition> PartitionReader::take() {
    ByteReader head(frames_.take_frame());
    StoredPartition partition;
    partition.key = head.take_key();
    const auto n_rows = head.take<uint64_t>();
    const auto n_graph_rows = head.take<uint64_t>();
    const auto n_links = head.take<uint64_t>();
    const auto entry = head.take<int32_t>();
    if (!head.done() || n_graph_rows > n_rows) return damaged();
    partition.rows = std::make_shared<VectorRows>(n_dims_, memory_);
    if (Status taken = take_rows(*partition.rows, n_rows); !taken) return taken.error();
    partition.n_rows = partition.rows->size();
    if (n_graph_rows == 0) return partition;
    VectorGraph::Parts parts{entry, frames_.take_frames<uint8_t>(n_graph_rows), {}};
    parts.links = frames_.take_frames<int32_t>(n_links);
    if (!frames_.ok()) return damaged();
    Result<std::shared_ptr<const VectorGraph>> graph = VectorGraph::from_parts(std::move(parts));
    if (!graph && graph.error().code == ErrorCode::kCorrupt) return damaged();
    if (!graph) return graph.error();
    partition.graph = *std::move(graph);
    return partition;
}

}  // namespace

Status write_vector_file(const std::filesystem::path& path, const Key128& embedder, size_t n_dims,
                         std::span<const StoredPartition> partitions) {
    Result<FileDraft> file = FileDraft::create(path, "the index of vectors");
    if (!file) return file.error();
    FrameWriter writer(*file);
    std::string head(kMagic);
    put(head, embedder);
    put(head, static_cast<uint32_t>(n_dims));
    put(head, static_cast<uint32_t>(partitions.size()));
    if (Status put = writer.put_frame(head); !put) return put;
    for (const StoredPartition& partition : partitions) {
        if (Status put = put_partition(writer, partition); !put) return put;
    }
    return file->publish();
}

Result<std::vector<StoredPartition>> read_vector_file(const std::filesystem::path& path,
                                                      const Key128& embedder, size_t n_dims,
                                                      const std::shared_ptr<VectorMemory>& memory) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        const int error = errno;
        return Error{error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                     "can't read the index of vectors in " + path.string() + ": " +
                         std::generic_category().message(error)};
    }
    const size_t row_bytes = 2 * sizeof(uint64_t) + 1 + n_dims * sizeof(float);
    FrameReader reader(file, std::max(kFrameBytes, kRowsPerFrame * row_bytes));
    ByteReader head(reader.take_frame());
    if (head.take_bytes(kMagic.size()) != kMagic) return unusable(path, "damaged");
    const Key128 its_embedder = head.take_key();
    const auto its_dims = head.take<uint32_t>();
    const auto n_partitions = head.take<uint32_t>();
    if (!head.done()) return unusable(path, "damaged");
    if (its_embedder != embedder || its_dims != n_dims) {
        return unusable(path, "another embedder's");
    }
    PartitionReader from_file(path, reader, n_dims, memory);
    std::vector<StoredPartition> partitions;
    while (partitions.size() < n_partitions) {
        Result<StoredPartition> partition = from_file.take();
        if (!partition) return partition.error();
        partitions.push_back(*std::move(partition));
    }
    if (!reader.done()) return unusable(path, "damaged");
    return partitions;
}

}  // namespace spolia
