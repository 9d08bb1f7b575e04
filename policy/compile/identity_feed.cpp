#include "policy/compile/identity_feed.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "policy/compile/reading.h"

namespace sallyport {
namespace {

constexpr std::string_view kSpiffeScheme = "spiffe://";
constexpr size_t kMaxSpiffeIdBytes = 2048;  // SPIFFE-ID section 2.3.

std::vector<IpAddress> read_addresses(const YamlNode& node, Report& report) {
  std::vector<IpAddress> out;
  for (const ListedText& item : read_texts(node, "addresses", report)) {
    if (const auto address = parse_ip_address(item.text)) {
      out.push_back(*address);
    } else {
      report.error(*item.node, "E019", "'" + item.text + "' is not an IPv4 or IPv6 address",
                   "each address by itself, without a prefix length");
    }
  }
  return out;
}

bool has_repeated(const std::vector<Identity>& identities) {
  std::vector<IpAddress> addresses;
  addresses.reserve(identities.size());
  for (const Identity& identity : identities) addresses.push_back(identity.address);
  std::ranges::sort(addresses);
  return std::ranges::adjacent_find(addresses) != addresses.end();
}

void read_identity(const YamlNode& node, Report& report, std::vector<Identity>& out) {
  MapReader map(node, "identities[]", report);
  if (node.kind != YamlNode::Kind::map) return;
  std::vector<IpAddress> addresses;
  if (const YamlNode* list = map.require("addresses")) addresses = read_addresses(*list, report);
  Identity identity;
  if (const YamlNode* labels = map.find("labels")) {
    for (auto& [key, value] : read_labels(*labels, "labels", report)) {
      if (key == kSpiffeIdLabel) {
        report.error(*labels, "E008", "'spiffeId' is no label", "write it beside labels");
      }
      identity.labels.emplace_back(key, std::move(value));
    }
    if (identity.labels.size() > kMaxLabels) {
      report.error(*labels, "E035", "more than " + std::to_string(kMaxLabels) + " labels");
      return;
    }
  }
  if (const YamlNode* id = map.find(kSpiffeIdLabel)) {
    const std::string text = read_text(*id, kSpiffeIdLabel, report);
    if (id->kind == YamlNode::Kind::scalar && !is_spiffe_id(text)) {
      report.error(*id, "E031", "'" + text + "' is not a SPIFFE ID",
                   "write it like spiffe://cluster.local/ns/train/sa/llm");
    }
    identity.labels.emplace_back(kSpiffeIdLabel, text);
  }
  map.finish();
  for (const IpAddress& address : addresses) {
    identity.address = address;
    out.push_back(identity);
  }
}

/// Which labels an address that stands twice has would be a matter of luck.
void refuse_repeated(const YamlNode& list, const std::vector<Identity>& identities,
                     Report& report) {
  std::set<IpAddress> seen;
  std::set<IpAddress> reported;
  for (const Identity& identity : identities) {
    if (seen.insert(identity.address).second || !reported.insert(identity.address).second) continue;
    report.error(list, "E014", "address " + to_string(identity.address) + " stands twice",
                 "merge its labels into one entry");
  }
}

/// The same where the two stand in different files. `files` says where each one's identities begin.
void refuse_shared(std::span<const SourceFile> sources, const std::vector<size_t>& files,
                   const std::vector<Identity>& identities, std::vector<Diagnostic>& out) {
  std::map<IpAddress, size_t> owner;
  for (size_t file = 0; file < files.size(); ++file) {
    const size_t end = file + 1 < files.size() ? files[file + 1] : identities.size();
    for (size_t i = files[file]; i < end; ++i) {
      const auto [at, added] = owner.try_emplace(identities[i].address, file);
      if (added || at->second == file) continue;
      out.push_back({.file = sources[file].name,
                     .code = "E014",
                     .message = "address " + to_string(identities[i].address) + " stands in " +
                                sources[at->second].name + ", too",
                     .hint = "merge its labels into one entry"});
      at->second = file;
    }
  }
}

void read_document(const YamlNode& document, std::vector<Identity>& out, Report& report) {
  MapReader root(document, "the document", report);
  constexpr std::array<std::string_view, 1> kVersions{"sallyport/v1"};
  constexpr std::array<std::string_view, 1> kKinds{"IdentityFeed"};
  if (const YamlNode* version = root.require("apiVersion")) {
    static_cast<void>(read_choice(*version, "apiVersion", kVersions, report));
  }
  if (const YamlNode* kind = root.require("kind")) {
    static_cast<void>(read_choice(*kind, "kind", kKinds, report));
  }
  if (const YamlNode* list = root.require("identities")) {
    std::ranges::move(read_identities(*list, report), std::back_inserter(out));
  }
  root.finish();
}

}  // namespace

bool is_spiffe_id(std::string_view text) noexcept {
  return text.starts_with(kSpiffeScheme) && text.size() > kSpiffeScheme.size() &&
         text.size() <= kMaxSpiffeIdBytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

std::vector<Identity> read_identities(const YamlNode& list, Report& report) {
  std::vector<Identity> out;
  if (list.kind != YamlNode::Kind::sequence) {
    report.error(list, "E010", "identities must be a list");
    return out;
  }
  for (const YamlNode& item : list.items) read_identity(item, report, out);
  refuse_repeated(list, out, report);
  return out;
}

std::expected<std::vector<Identity>, std::vector<Diagnostic>> load_identities(
    std::span<const SourceFile> sources) {
  std::vector<Identity> out;
  std::vector<Diagnostic> diagnostics;
  std::vector<size_t> files;
  for (const SourceFile& source : sources) {
    files.push_back(out.size());
    if (source.text.size() <= kMaxYamlBytes && source.text.starts_with('{')) {
      auto quick = read_identity_json(source.text);
      if (quick && !has_repeated(*quick)) {
        std::ranges::move(*quick, std::back_inserter(out));
        continue;
      }
    }
    auto documents = parse_yaml(source);
    if (!documents) {
      std::ranges::move(documents.error(), std::back_inserter(diagnostics));
      continue;
    }
    Report report(source.name);
    bool empty = true;
    for (const YamlNode& document : *documents) {
      if (document.kind == YamlNode::Kind::null) continue;  // Only comments.
      empty = false;
      read_document(document, out, report);
    }
    // A file that is being written, or was cut off, must not take every label away.
    if (empty) report.error(0, 0, "E024", "there is no IdentityFeed in the file");
    std::ranges::move(report.take(), std::back_inserter(diagnostics));
  }
  if (files.size() > 1) refuse_shared(sources, files, out, diagnostics);
  if (!diagnostics.empty()) return std::unexpected(std::move(diagnostics));
  return out;
}

}  // namespace sallyport
