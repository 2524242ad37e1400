// shared_prompt.hpp - chapter 5: one run of a prompt for several stores.
//
// Until the prompt has ended no store has forgotten anything, so all of them give the same
// attention, in every bit, and get the same keys and values. What differs is what each looks at
// meanwhile. So the model's products, nearly all of the work, are done once for all of them.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

class SharedPrompt final : public KvStore {
public:
    // The stores must be empty, of one shape and key form, and outlive this object.
    explicit SharedPrompt(std::vector<KvStore*> stores);

    const KvShape& shape() const override { return stores_.front()->shape(); }

    Index next_position() const override { return stores_.front()->next_position(); }

    Index room() const override;

    KeyForm key_form() const override { return stores_.front()->key_form(); }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    // Throws Error if a store's attention is not the first one's.
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;
    void commit() override;
    void abandon() noexcept override;
    // These two are the stores' own affair: throw Error.
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;
    KvBytes bytes() const override;  // of all stores

private:
    std::vector<KvStore*> stores_;
    Tensor again_;  // [T, Hq, D]: the attention of the other stores
};

}  // namespace kvlab
