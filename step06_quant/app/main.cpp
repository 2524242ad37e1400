// step06_quant - chapter 6: smaller numbers.
#include "app.hpp"

namespace {

using namespace kvlab;

int run(int argc, char** argv) {
    CLI::App app{
        "Chapter 6: smaller numbers. Without a subcommand: every format of the cache, the law\n"
        "that it keeps and what it changes.\n"
        "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage.",
        "step06_quant"};
    const std::vector<app::Command> commands = {
        app::add_kv(app),       app::add_histogram(app), app::add_bytes(app),
        app::add_kv_clock(app), app::add_kv_speed(app),  app::add_weights(app),
        app::add_smooth(app),   app::add_lowrank(app),   app::add_convert(app)};
    const app::Command table = app::add_table(app);
    app.require_subcommand(0, 1);
    return cli::run(app, argc, argv, [&] {
        for (const app::Command& command : commands)
            if (command.app->parsed()) return command.run();
        return table.run();
    });
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {  // a flag defined twice: a mistake in this file
        std::cerr << "step06_quant: " << error.what() << '\n';
        return cli::kFails;
    }
}
