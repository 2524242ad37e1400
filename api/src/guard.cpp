#include "guard.hpp"

#include <cstdio>
#include <new>

namespace kvlab::api {

namespace {

// Of fixed size, so that running out of memory can be told, too.
thread_local char last_error[1024] = "";

int note(kvlab_status status, const char* call, const char* text) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s: %s", call, text);
    return status;
}

}  // namespace

int note_current_exception(const char* call) noexcept {
    try {
        throw;
    } catch (const Refusal& refusal) {
        return note(refusal.status, call, refusal.what());
    } catch (const std::bad_alloc&) {
        return note(KVLAB_NO_ROOM, call, "this machine has no memory left");
    } catch (const std::exception& error) {
        return note(KVLAB_FAILED, call, error.what());
    } catch (...) {
        return note(KVLAB_FAILED, call, "an exception that is no std::exception");
    }
}

}  // namespace kvlab::api

const char* kvlab_last_error(void) {
    return kvlab::api::last_error;
}
