#include "shared_prompt.hpp"

#include <algorithm>

#include <kvlab/tensor/checksum.hpp>

namespace kvlab {

SharedPrompt::SharedPrompt(std::vector<KvStore*> stores) : stores_(std::move(stores)) {
    check(!stores_.empty(), "shared prompt: no stores");
    for (const KvStore* const store : stores_)
        check(store->shape() == shape() && store->key_form() == key_form() &&
                  store->next_position() == 0,
              "shared prompt: stores of two kinds, or one that is not empty");
}

Index SharedPrompt::room() const {
    Index room = stores_.front()->room();
    for (const KvStore* const store : stores_) room = std::min(room, store->room());
    return room;
}

void SharedPrompt::begin(Index T) {
    for (KvStore* const store : stores_) store->begin(T);
}

void SharedPrompt::append(Index layer, const View<const float>& k, const View<const float>& v) {
    for (KvStore* const store : stores_) store->append(layer, k, v);
}

AttentionWork SharedPrompt::attend(Index layer,
                                   const View<const float>& q,
                                   const View<float>& out,
                                   ThreadPool& pool) {
    const AttentionWork work = stores_.front()->attend(layer, q, out, pool);
    if (stores_.size() > 1 && (again_.rank() == 0 || again_.dim(0) != q.dim(0)))
        again_ = Tensor({q.dim(0), q.dim(1), q.dim(2)});
    for (std::size_t i = 1; i < stores_.size(); ++i) {
        const View<float> again = again_.view();
        stores_[i]->attend(layer, q, again, pool);
        for (Index t = 0; t < q.dim(0); ++t)
            for (Index h = 0; h < q.dim(1); ++h)
                check(std::equal(&out(t, h, 0), &out(t, h, 0) + q.dim(2), &again(t, h, 0)),
                      "shared prompt: the attention of two stores differs in layer ", layer);
    }
    return work;
}

void SharedPrompt::commit() {
    for (KvStore* const store : stores_) store->commit();
}

void SharedPrompt::abandon() noexcept {
    for (KvStore* const store : stores_) store->abandon();
}

void SharedPrompt::truncate(Index) {
    throw Error("shared prompt: each store forgets by itself");
}

std::unique_ptr<KvStore> SharedPrompt::fork() const {
    throw Error("shared prompt: each store is forked by itself");
}

KvBytes SharedPrompt::bytes() const {
    KvBytes all;
    for (const KvStore* const store : stores_) {
        const KvBytes own = store->bytes();
        all.logical += own.logical;
        all.allocated += own.allocated;
    }
    return all;
}

}  // namespace kvlab
