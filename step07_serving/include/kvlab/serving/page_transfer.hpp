// page_transfer.hpp - chapter 7: a text's cache goes from one process to another one.
//
// Prompts and continuations ask for different things. A prompt has hundreds of tokens at once
// and keeps a processor computing; a continuation has one, and waits for the memory. So large
// services read prompts on some machines and continue them on others (Zhong et al. 2024,
// DistServe; Patel et al. 2024, Splitwise). What has to travel is the cache:
//
//   rank 0   reads the prompt, chooses the first token
//              | header: shape, tokens, pages, checksum, first token      72 bytes
//              | page 0, page 1, ... as they lie in memory                page_bytes each
//              v
//   rank 1   puts the bytes into pages of its own pool, and goes on
//
// The numbers of the pages may differ; their order may not. The last page is sent whole, though
// it may be part full: its unused slots hold zeros or what was there before, and nobody reads
// them before they are written.
#pragma once

#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/serving/ranks.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

// What is sent before the pages: nine numbers of 64 bits.
struct PagesHeader {
    Index format = 0;  // kPagesFormat, so that another kind of letter is refused
    Index tokens = 0;  // that the text has seen
    Index next = 0;    // the token that comes after them
    Index pages = 0, page_bytes = 0;
    Index layers = 0, kv_heads = 0, head_dim = 0;
    std::uint64_t checksum = 0;  // over the pages, in 32-bit words (contract, rule 8)
};

inline constexpr Index kPagesFormat = 0x3173'6567'6170'766b;  // the bytes "kvpages1"
inline constexpr Index kPagesHeaderBytes = sizeof(PagesHeader);

// Sends all of a text's pages and the token that comes next. The cache keeps them. Throws Error
// while a step is open, and for pages that nobody wrote to.
void send_pages(Ranks& ranks, Index to, const PagedCache& cache, Token next);

// Puts what send_pages() sent into an empty cache, whose pool must have as many free pages and
// keep rows of the same shape and kind. Returns the next token. Throws Error, and the cache is
// empty as before, if something does not fit or did not arrive as it was sent.
Token receive_pages(Ranks& ranks, Index from, PagedCache& cache);

}  // namespace kvlab
