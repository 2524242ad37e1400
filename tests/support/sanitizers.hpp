// sanitizers.hpp - whether a sanitizer watches that owns the program's memory: it wants the
// address space for itself, and ends the program when memory is refused.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KVLAB_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KVLAB_SANITIZED 1
#endif
#endif
#ifndef KVLAB_SANITIZED
#define KVLAB_SANITIZED 0
#endif
