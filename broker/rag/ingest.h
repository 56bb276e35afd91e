#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "broker/rag/collection_database.h"
#include "index/result.h"
#include "index/text_embedder.h"
#include "spolia/collection.h"

namespace spolia {

// What stands for a text's path in a collection: no file's path, as those are absolute.
std::string text_path(std::string_view name);

// Brings a collection up to what stands at `paths` now: new files are added, changed ones replaced,
// unchanged ones left alone (by size and time; where these differ, by content), and documents whose
// file is gone from there removed. Then whatever has vectors of another embedder gets new ones,
// from the texts that are stored. Each file is one transaction, so that it may be ended at any
// time, and the next call goes on to the same state; cancelled, it removes nothing. A file that
// can't be read is warned of, and what the collection had of it stays. Fails where the collection
// can't be written, a path does not exist, or the embedder fails.
Result<IngestReport> ingest_files(CollectionDatabase& collection, const TextEmbedder& embedder,
                                  std::span<const std::filesystem::path> paths,
                                  const IngestListener& listener);

// The same for texts that a program holds: each replaces the text of its name, and no other
// document is touched.
Result<IngestReport> ingest_texts(CollectionDatabase& collection, const TextEmbedder& embedder,
                                  std::span<const TextDocument> texts,
                                  const IngestListener& listener);

}  // namespace spolia
