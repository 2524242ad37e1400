// stepped_store.hpp - chapter 2: WHEN a store may be called: the step of kv_store.hpp, with
// every check, once for all stores.
//
// ANCHOR: states
//              begin(T)              append(L - 1)              commit(), abandon()
//   no step ------------> step open ---------------> complete ----------------------> no step
//                             |                                                          ^
//                             |  write_rows() or attend_rows() throws                    |
//                             +-----------------------------> failed -- abandon() -------+
// ANCHOR_END: states
//
// A store derives from it and says only what it does with rows: write_rows(), attend_rows() and
// what to copy and to forget. Whatever is called in another order is refused before anything
// has changed.
#pragma once

#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

class SteppedStore : public KvStore {
public:
    const KvShape& shape() const final { return shape_; }

    Index next_position() const final { return length_; }

    Index room() const override { return capacity_ - length_; }

    Index capacity() const { return capacity_; }

    void begin(Index T) final;
    void append(Index layer, const View<const float>& k, const View<const float>& v) final;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) final;
    void commit() final;
    void abandon() noexcept final;
    void truncate(Index length) final;
    std::unique_ptr<KvStore> fork() const final;

protected:
    // Room for `capacity` tokens. `name` is what errors call the store, and must outlive it.
    // Throws Error for a shape or a capacity that cannot be.
    SteppedStore(const char* name, const KvShape& shape, Index capacity);

    const char* name() const { return name_; }

    // Tokens that count, of the open step, and layers that have the step's rows.
    Index length() const { return length_; }

    Index pending() const { return pending_; }

    Index appended() const { return appended_; }

    // For a store whose rows come another way than append(): the open step now has those of all
    // layers. Throws Error without a step, or if it has some already.
    void take_all_rows();

    // Makes room for a step of T tokens, or throws Error and nothing has happened.
    virtual void opened(Index /*T*/) {}

    // The step's rows of one layer, [pending(), Hkv, D], from slot or position length() on.
    virtual void write_rows(Index layer,
                            const View<const float>& k,
                            const View<const float>& v) = 0;

    // Attention of the step's queries [pending(), Hq, D] in a layer that has its rows.
    virtual AttentionWork attend_rows(Index layer,
                                      const View<const float>& q,
                                      const View<float>& out,
                                      ThreadPool& pool) = 0;

    // The step is complete; length() and pending() are still those of the step.
    virtual void closed() {}

    // Throws Error if the store cannot go back to `length`, which is at most length().
    virtual void check_truncate(Index /*length*/) const {}

    // What lies at and behind `length` is gone: tokens that truncate() takes back, or the rows
    // of a step that was abandoned.
    virtual void dropped(Index /*length*/) noexcept {}

    // A store of the same kind with a copy of the tokens that count, whose number fork() sets.
    virtual std::unique_ptr<SteppedStore> copied() const = 0;

    // Throw Error, naming the place, unless there is such a layer and KV head, or such a number
    // of a token that counts.
    void check_head(Index layer, Index kv_head) const;
    void check_element(Index layer, Index kv_head, Index position, Index i) const;

private:
    void check_between_steps(const char* call) const;

    // Fixed at construction.
    const char* name_;
    KvShape shape_;
    Index capacity_;
    // Tokens [0, length_) count; [length_, length_ + pending_) belong to the open step, of
    // which the layers [0, appended_) have their rows.
    Index length_ = 0, pending_ = 0, appended_ = 0;
    bool failed_ = false;
};

}  // namespace kvlab
