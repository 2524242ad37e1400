// cache_file.hpp - chapter 7: a text's tokens and its pages in a file, so that a long prompt is
// computed once and not again tomorrow.
//
// ANCHOR: layout
//   "kvlabkv1"                                        8 bytes
//   model u64 | length, name | vocabulary             whose numbers these are
//   length, format                                    how they are kept
//   layers | heads | kv_heads | head_dim | page_slots
//   n, n tokens i32
//   m, m bytes                                        of the pages, as visit_pages() shows them
//   checksum u64                                      of all bytes before it
// ANCHOR_END: layout
//
// Numbers are i64, little-endian, where nothing else is said. The keys and values of a model
// have the same bits on every machine (contract), so a file may be loaded on another one than
// wrote it. A file is a stranger's: whatever it says is compared with what is expected here,
// before any memory is asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/tensor/output_file.hpp>
#include <kvlab/weights/token.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// Whose keys and values these are, and how they are kept.
struct CacheOrigin {
    std::uint64_t model = 0;  // model_fingerprint()
    std::string name;         // of the model, for messages alone
    Index vocab = 0;
    std::string format;  // all that the bytes depend on: "int8", "q4_0 rotated sinks 4"
};

// One number for everything that a model's keys and values depend on: the numbers of its
// configuration, and every byte of every tensor, whatever their order. Reads all weights.
std::uint64_t model_fingerprint(const WeightSource& source);

CacheOrigin origin_of(const WeightSource& source, const std::string& format);

// Between steps. Throws Error unless there are tokens, as many as the cache has, and for pages
// that nobody wrote to.
std::vector<std::byte> cache_to_bytes(const CacheOrigin& origin,
                                      std::span<const Token> tokens,
                                      const PagedCache& cache);

// Returns the tokens, whose keys and values the cache then has. Throws Error, one line that
// begins with `name`, and the cache is as it was, unless it is empty and has room, and these
// are undamaged bytes of the same origin and of pages of the same shape.
std::vector<Token> cache_from_bytes(std::span<const std::byte> bytes,
                                    const std::string& name,
                                    const CacheOrigin& origin,
                                    PagedCache& empty);

// The same in a file, which appears whole or not at all: it is committed here.
void save_cache(OutputFile& file,
                const CacheOrigin& origin,
                std::span<const Token> tokens,
                const PagedCache& cache);
std::vector<Token> load_cache(const std::filesystem::path& path,
                              const CacheOrigin& origin,
                              PagedCache& empty);

}  // namespace kvlab
