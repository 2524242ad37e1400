// Measuring and reporting. No test here looks at a time: only at what is made of it.
#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/roofline.hpp>

using namespace kvlab;

TEST_SUITE_BEGIN("step01");

TEST_CASE("1.8 measure: quartiles by hand") {
    const Quartiles q = quartiles({5, 1, 4, 2, 3});
    CHECK(q.best == 1);
    CHECK(q.low == 2);
    CHECK(q.median == 3);
    CHECK(q.high == 4);
    CHECK(q.count == 5);
    CHECK(quartiles({1, 2}).median == 1.5);
    CHECK(quartiles({7}).high == 7);
    CHECK_THROWS_AS(quartiles({}), Error);
}

TEST_CASE("1.8 measure: the clock runs forward and the work is called") {
    Index calls = 0;
    const Quartiles q = time_calls(3, 0.0, Clock::wall, [&] { ++calls; });
    CHECK(q.count == 3);
    CHECK(calls >= 5);
    CHECK(q.best >= 0);
    const double before = thread_cpu_seconds();
    volatile double sink = 0;
    for (int i = 0; i < 1000000; ++i) sink = sink + i;
    CHECK(thread_cpu_seconds() > before);
}

TEST_CASE("1.8 measure: figures and names") {
    CHECK(format_number(0.01234) == "0.0123");
    CHECK(format_number(118.4) == "118");
    CHECK(format_number(1536.0) == "1536");
    CHECK(format_number(4.25e9) == "4.25e+09");
    CHECK_FALSE(processor_name().empty());
    CHECK(compiler_name().find('.') != std::string::npos);
    CHECK(compiler_flags().find("-ffp-contract=off") != std::string::npos);
}

TEST_CASE("1.8 roofline: sizes of the memory levels grow") {
    for (Index threads : {1, 2, 4}) {
        const auto levels = memory_levels(threads);
        REQUIRE(levels.size() == 4);
        CHECK(levels[0].bytes < levels[1].bytes);
        CHECK(levels[3].bytes * threads >= Index{64} << 20);
    }
    ThreadPool pool(2);
    CHECK(read_bandwidth(SimdLevel::portable, pool, 4096, 1) > 0);
}

TEST_CASE("1.8 report: what was given is what is read back") {
    const auto folder =
        std::filesystem::temp_directory_path() / concat("kvlab_report_", getpid());
    std::filesystem::create_directory(folder);
    const std::string path = (folder / "r.json").string();
    Json report = new_report("test", 7);
    report["times"] = to_json(quartiles({1, 2, 3}));
    write_json(std::make_shared<OutputFile>(path), report);
    write_json(nullptr, report);  // --json was not given
    std::ifstream file(path);
    const Json back = Json::parse(file);
    CHECK(back == report);
    CHECK(back["schema"] == kReportSchema);
    CHECK(back["seed"] == 7);
    CHECK(back["times"]["median"] == 2.0);
    CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) ==
          1);  // nothing else is left
    std::filesystem::remove_all(folder);
}

TEST_SUITE_END();
