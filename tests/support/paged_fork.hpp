// paged_fork.hpp - a fork of a text in pages, as what it is.
#pragma once

#include <memory>

#include <kvlab/serving/paged_cache.hpp>

namespace kvlab::test {

inline std::unique_ptr<PagedCache> paged_fork(const PagedCache& cache) {
    return std::unique_ptr<PagedCache>(static_cast<PagedCache*>(cache.fork().release()));
}

}  // namespace kvlab::test
