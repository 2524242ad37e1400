// chosen_device.cpp - KVLAB_TEST_DEVICE=gpu runs the kernels of a test program on the GPU, and
// so does gpu-or-skip, which ends with 77 and says why where there is none. The cases that
// judge the executor itself are not for that: tools/gpu/check.sh names those that are. Without
// the variable nothing changes.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include <kvlab/cuda/device.hpp>
#include <kvlab/tensor/error.hpp>

namespace {

struct ChosenDevice : doctest::IReporter {
    explicit ChosenDevice(const doctest::ContextOptions&) {}

    // The first that is called, before any case allocates.
    void test_run_start() override {
        const char* wish = std::getenv("KVLAB_TEST_DEVICE");
        if (wish == nullptr || std::string(wish) == "executor") return;
        const bool may_skip = std::string(wish) == "gpu-or-skip";
        if (std::string why_not; may_skip && !kvlab::gpu_available(&why_not)) {
            std::printf("skipped: no GPU: %s\n", why_not.c_str());
            std::exit(77);
        }
        try {
            kvlab::check(may_skip || std::string(wish) == "gpu",
                         "KVLAB_TEST_DEVICE: expected gpu, gpu-or-skip or executor, found ",
                         wish);
            kvlab::select_device(kvlab::Device::gpu);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            std::exit(3);
        }
        std::printf("on %s\n", kvlab::device_name().c_str());
    }

    void report_query(const doctest::QueryData&) override {}

    void test_run_end(const doctest::TestRunStats&) override {}

    void test_case_start(const doctest::TestCaseData&) override {}

    void test_case_reenter(const doctest::TestCaseData&) override {}

    void test_case_end(const doctest::CurrentTestCaseStats&) override {}

    void test_case_exception(const doctest::TestCaseException&) override {}

    void subcase_start(const doctest::SubcaseSignature&) override {}

    void subcase_end() override {}

    void log_assert(const doctest::AssertData&) override {}

    void log_message(const doctest::MessageData&) override {}

    void test_case_skipped(const doctest::TestCaseData&) override {}
};

REGISTER_LISTENER("chosen device", 1, ChosenDevice);

}  // namespace
