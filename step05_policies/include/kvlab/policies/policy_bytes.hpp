// policy_bytes.hpp - chapter 5: the bytes that a policy holds, in closed form.
#pragma once

#include <string>

#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/policy_store.hpp>

namespace kvlab {

// Bytes held behind `length` tokens, of which the first `prompt` came before a policy that
// evicts once did so: keys, values, positions, scores and whatever else describes a token. What
// PolicyStore::bytes().logical has to be. Throws Error for an unknown name.
Index policy_bytes(const std::string& name,
                   const PolicyOptions& options,
                   const KvShape& shape,
                   Index prompt,
                   Index length);

// Keys and values of all tokens alone, as floats: what chapter 3's cache holds.
Index full_bytes(const KvShape& shape, Index length);

// The largest budget whose bytes are at most `most`; 0 if there is none, or if the budget does
// not decide the bytes.
Index budget_for_bytes(const std::string& name,
                       PolicyOptions options,
                       const KvShape& shape,
                       Index prompt,
                       Index length,
                       Index most);

}  // namespace kvlab
