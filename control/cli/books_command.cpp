// `sallyport status --books`: what came into the packet path, and where it went.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "control/cli/commands.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/stats_reader.h"
#include "policy/runtime/books.h"

namespace sallyport {
namespace {

// A core that is in the midst of a turn has packets in hand that stand nowhere yet: it is looked at
// again, for a second at the most.
constexpr int kMostReadings = 100;
constexpr auto kBetweenReadings = std::chrono::milliseconds(10);

/// The books of one core, or those between cores, as of the reading in which least was amiss.
struct Account {
  std::string name;
  std::vector<BookId> ids;
  std::vector<Book> books;
  uint64_t amiss = UINT64_MAX;

  void read(std::span<const BookLine> lines) {
    std::vector<Book> fresh;
    uint64_t wrong = 0;
    for (const BookId id : ids) {
      fresh.push_back(draw_up(id, lines));
      wrong += static_cast<uint64_t>(std::abs(fresh.back().difference()));
    }
    if (wrong >= amiss) return;
    books = std::move(fresh);
    amiss = wrong;
  }
};

std::vector<BookLine> lines_of(const StatsSnapshot& snapshot, const StatsCoreValues& core) {
  std::vector<BookLine> lines;
  for (size_t i = 0; i < snapshot.counters.size(); ++i) {
    const StatsCounter& counter = snapshot.counters[i];
    if (counter.books == BookSides{}) continue;
    lines.push_back({counter.entry, counter.books, core.values[i]});
  }
  return lines;
}

bool all_balance(const std::vector<Account>& accounts) {
  return std::ranges::all_of(accounts, [](const Account& one) { return one.amiss == 0; });
}

/// Reads until all balance, or often enough.
/// @return what is wrong with the segment.
std::expected<std::vector<Account>, StatsError> read_accounts(const StatsReader& reader,
                                                              int& readings) {
  std::vector<Account> accounts;
  for (readings = 0; readings < kMostReadings; ++readings) {
    if (readings > 0) std::this_thread::sleep_for(kBetweenReadings);
    const auto snapshot = reader.snapshot();
    if (!snapshot) return std::unexpected(snapshot.error());
    if (accounts.empty()) {
      for (const StatsCoreValues& core : snapshot->cores) {
        accounts.push_back({.name = fmt::format("core {}", core.core),
                            .ids = {BookId::outbound, BookId::inbound}});
      }
      accounts.push_back({.name = "all cores", .ids = {BookId::between_cores}});
    }
    std::vector<BookLine> of_all;
    for (size_t i = 0; i < snapshot->cores.size(); ++i) {
      const auto lines = lines_of(*snapshot, snapshot->cores[i]);
      accounts[i].read(lines);
      of_all.insert(of_all.end(), lines.begin(), lines.end());
    }
    accounts.back().read(of_all);
    if (all_balance(accounts) || snapshot->ended) {
      ++readings;
      break;
    }
  }
  return accounts;
}

using Side = std::vector<BookEntry> Book::*;

void add_entries(const Account& account, Side side, std::vector<std::vector<std::string>>& rows) {
  std::vector<std::string> names;
  for (const Book& book : account.books) {
    for (const BookEntry& entry : book.*side) {
      if (entry.packets != 0 && std::ranges::find(names, entry.name) == names.end()) {
        names.push_back(entry.name);
      }
    }
  }
  for (const std::string& name : names) {
    auto& row = rows.emplace_back(std::vector<std::string>{"  " + name});
    for (const Book& book : account.books) {
      const auto entry = std::ranges::find(book.*side, name, &BookEntry::name);
      row.push_back(entry == (book.*side).end() ? "" : std::to_string(entry->packets));
    }
  }
}

std::string table(const Account& account) {
  std::vector<std::vector<std::string>> rows{{account.name}, {"in"}};
  std::vector<std::string> out{"out"};
  std::vector<std::string> difference{"difference"};
  for (size_t i = 0; i < account.books.size(); ++i) {
    const Book& book = account.books[i];
    rows[0].emplace_back(kBookNames[static_cast<size_t>(account.ids[i])]);
    rows[1].push_back(std::to_string(book.packets_in));
    out.push_back(std::to_string(book.packets_out));
    difference.push_back(std::to_string(book.difference()));
  }
  add_entries(account, &Book::in, rows);
  rows.push_back(out);
  add_entries(account, &Book::out, rows);
  rows.push_back(difference);
  std::vector<bool> numbers(account.books.size() + 1, true);
  numbers[0] = false;
  return align(rows, numbers);
}

Json side_json(const std::vector<BookEntry>& entries) {
  Json out = Json::object();
  for (const BookEntry& entry : entries) out[entry.name] = entry.packets;
  return out;
}

Json accounts_json(const std::vector<Account>& accounts, int readings) {
  Json list = Json::array();
  for (const Account& account : accounts) {
    for (size_t i = 0; i < account.books.size(); ++i) {
      const Book& book = account.books[i];
      list.push_back({{"of", account.name},
                      {"book", kBookNames[static_cast<size_t>(account.ids[i])]},
                      {"in", side_json(book.in)},
                      {"out", side_json(book.out)},
                      {"packets_in", book.packets_in},
                      {"packets_out", book.packets_out},
                      {"difference", book.difference()}});
    }
  }
  return {{"balanced", all_balance(accounts)}, {"readings", readings}, {"books", std::move(list)}};
}

void print_imbalance(const std::vector<Account>& accounts, int readings) {
  for (const Account& account : accounts) {
    for (size_t i = 0; i < account.books.size(); ++i) {
      const Book& book = account.books[i];
      if (book.balances()) continue;
      print_error(fmt::format(
          "{}, {}: {} packets came, {} went: {}, the least of {}; while traffic runs some are "
          "under way: ask again when it is quiet, and report what is still amiss",
          account.name, kBookNames[static_cast<size_t>(account.ids[i])], book.packets_in,
          book.packets_out, book.difference(), count_text(readings, "reading", "readings")));
    }
  }
}

}  // namespace

int run_books(const CliOptions& options) {
  const auto reader = StatsReader::open(options.stats);
  if (!reader) {
    print_error(reader.error().text);
    return kExitBadInput;
  }
  int readings = 0;
  const auto accounts = read_accounts(*reader, readings);
  if (!accounts) {
    print_error(accounts.error().text);
    return kExitBadInput;
  }
  const bool balanced = all_balance(*accounts);
  if (options.format == Format::json) {
    fmt::print("{}\n", dump_pretty(accounts_json(*accounts, readings)));
  } else {
    for (const Account& account : *accounts) fmt::print("{}\n", table(account));
    if (balanced) fmt::print("the books balance\n");
    print_imbalance(*accounts, readings);
  }
  return balanced ? kExitGood : kExitNo;
}

}  // namespace sallyport
