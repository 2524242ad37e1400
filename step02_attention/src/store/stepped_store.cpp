#include <kvlab/attention/stepped_store.hpp>

namespace kvlab {

SteppedStore::SteppedStore(const char* name, const KvShape& shape, Index capacity)
    : name_(name), shape_((check_kv_shape(name, shape), shape)), capacity_(capacity) {
    check(capacity > 0, name, ": capacity must be positive, found ", capacity);
}

void SteppedStore::check_between_steps(const char* call) const {
    check(pending_ == 0, name_, ": ", call, " while a step of ", pending_,
          " tokens is open; commit() or abandon() ends it");
}

void SteppedStore::begin(Index T) {
    check_between_steps("begin()");
    // SOLUTION-BEGIN 2.6
    check(T >= 1 && T <= room(), name_, ": a step of ", T, " tokens; there is room for ",
          room());
    opened(T);
    pending_ = T;
    appended_ = 0;
    failed_ = false;
    // SOLUTION-END 2.6
}

// ANCHOR: append
void SteppedStore::append(Index layer, const View<const float>& k, const View<const float>& v) {
    // SOLUTION-BEGIN 2.6
    check(pending_ > 0, name_, ": append() outside of a step, which begin() opens");
    check(!failed_, name_, ": this step has failed; abandon() ends it");
    check(layer == appended_ && layer < shape_.layers, name_, ": expected layer ", appended_,
          " of ", shape_.layers, ", found ", layer);
    check_shape(k, {pending_, shape_.kv_heads, shape_.head_dim}, name_);
    check_shape(v, {pending_, shape_.kv_heads, shape_.head_dim}, name_);
    failed_ = true;  // unless the next line comes back
    write_rows(layer, k, v);
    failed_ = false;
    ++appended_;
    // SOLUTION-END 2.6
}

// ANCHOR_END: append

void SteppedStore::take_all_rows() {
    check(pending_ > 0, name_, ": rows outside of a step, which begin() opens");
    check(!failed_ && appended_ == 0, name_, ": all rows at once, but this step has some of ",
          appended_, " layers");
    appended_ = shape_.layers;
}

AttentionWork SteppedStore::attend(Index layer,
                                   const View<const float>& q,
                                   const View<float>& out,
                                   ThreadPool& pool) {
    check(pending_ > 0, name_, ": attend() outside of a step, which begin() opens");
    check(!failed_, name_, ": this step has failed; abandon() ends it");
    check(layer >= 0 && layer < appended_, name_, ": layer ", layer, " has no keys yet");
    check_shape(q, {pending_, shape_.heads, shape_.head_dim}, name_);
    check_shape(out, {pending_, shape_.heads, shape_.head_dim}, name_);
    failed_ = true;
    const AttentionWork work = attend_rows(layer, q, out, pool);
    failed_ = false;
    return work;
}

void SteppedStore::commit() {
    // SOLUTION-BEGIN 2.6
    check(pending_ > 0 && appended_ == shape_.layers && !failed_, name_, ": a step ends with ",
          appended_, " of ", shape_.layers, " layers");
    closed();
    if (remembers()) length_ += pending_;
    pending_ = appended_ = 0;
    if (!remembers()) dropped(0);
    // SOLUTION-END 2.6
}

void SteppedStore::abandon() noexcept {
    if (pending_ == 0) return;
    pending_ = appended_ = 0;
    dropped(length_);
}

void SteppedStore::truncate(Index length) {
    check_between_steps("truncate()");
    check(length >= 0 && length <= length_, name_, ": cannot truncate ", length_, " tokens to ",
          length);
    // SOLUTION-BEGIN 2.6
    check_truncate(length);
    dropped(length);
    length_ = length;
    // SOLUTION-END 2.6
}

std::unique_ptr<KvStore> SteppedStore::fork() const {
    check_between_steps("fork()");
    std::unique_ptr<SteppedStore> copy = copied();
    copy->length_ = length_;
    return copy;
}

void SteppedStore::check_head(Index layer, Index kv_head) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads,
          name_, ": there is no layer ", layer, ", KV head ", kv_head);
}

void SteppedStore::check_element(Index layer, Index kv_head, Index position, Index i) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads &&
              position >= 0 && position < length_ && i >= 0 && i < shape_.head_dim,
          name_, ": there is no element [", layer, ", ", kv_head, ", ", position, ", ", i, "]");
}

}  // namespace kvlab
