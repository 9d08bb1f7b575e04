#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport {

// Nothing here keeps state between calls: any thread may use it, each with its own objects.

/// One finding about a text that a user wrote. Lines and columns count from 1, columns in bytes;
/// line 0 means the whole file.
struct Diagnostic {
  enum class Severity : uint8_t { error, warning };

  std::string file;
  unsigned line = 0;
  unsigned column = 0;
  std::string code;     ///< Stable: "E004". Listed in docs/policy.md.
  std::string message;  ///< What is wrong.
  std::string hint;     ///< What to do; may be empty.
  Severity severity = Severity::error;
};

/// "error" or "warning".
std::string_view to_string(Diagnostic::Severity severity) noexcept;
/// "file:line:column: error[E004]: message (hint)", or "warning[W001]". One line of printable text
/// whatever the file held: fit for a log.
std::string to_string(const Diagnostic& diagnostic);
/// "file:line:column", or "file" for the whole file.
std::string place_text(const Diagnostic& diagnostic);

struct SourceFile {
  std::string name;  ///< As the user gave it; appears in diagnostics.
  std::string text;
};

/// A YAML value that remembers where it stood. A plain tree: aliases and anchors are refused, so
/// its size is bounded by the text's.
struct YamlNode {
  enum class Kind { null, scalar, sequence, map };
  struct Entry;

  Kind kind = Kind::null;
  unsigned line = 0;
  unsigned column = 0;
  std::string scalar;
  bool quoted = false;  ///< A quoted scalar is a string whatever it looks like.
  std::vector<YamlNode> items;
  std::vector<Entry> entries;  ///< In the order written; duplicates are already refused.
};

struct YamlNode::Entry {
  std::string key;
  unsigned line = 0;  ///< Of the key.
  unsigned column = 0;
  YamlNode value;
};

inline constexpr size_t kMaxYamlBytes = size_t{64} << 20;
inline constexpr unsigned kMaxYamlDepth = 32;
/// Maps, lists and scalars of one file. One takes some 100 bytes, however short its text.
inline constexpr size_t kMaxYamlNodes = 2'000'000;
/// Report keeps no more of one file.
inline constexpr size_t kMaxErrorsPerFile = 1000;
/// What Report says in place of all that follow.
inline constexpr const char* kTooManyErrorsCode = "E038";

/// Parses every document of one file. Never throws for bad input: a syntax error, duplicate key,
/// alias, tag, non-scalar key, too deep or too large a text is a Diagnostic (E001…E009). Takes time
/// and memory in proportion to the text.
std::expected<std::vector<YamlNode>, std::vector<Diagnostic>> parse_yaml(const SourceFile& source);

/// The key among `known` nearest to `key` by edit distance, or "" when none is near.
std::string_view nearest_key(std::string_view key, std::span<const std::string_view> known);

/// Collects diagnostics about one file: the first kMaxErrorsPerFile, and then one that says that
/// there are more. What a message or hint quotes is cut where it gets long.
class Report {
 public:
  explicit Report(std::string file) : file_(std::move(file)) {}

  void error(const YamlNode& where, std::string code, const std::string& message,
             const std::string& hint = "");
  void error(unsigned line, unsigned column, std::string code, const std::string& message,
             const std::string& hint = "");
  const std::string& file() const noexcept { return file_; }
  bool ok() const noexcept { return diagnostics_.empty(); }
  /// Nothing more is kept: a reader may leave off.
  bool full() const noexcept { return diagnostics_.size() >= kMaxErrorsPerFile; }
  std::vector<Diagnostic> take();

 private:
  std::string file_;
  std::vector<Diagnostic> diagnostics_;
  bool more_ = false;  ///< Some were not kept.
};

/// Reads one map strictly: each find() or require() names a known key; finish() reports every key
/// that nobody asked for, with the nearest known one as its hint, or all of them where none is
/// near.
class MapReader {
 public:
  /// `what` names the map in messages ("spec.subject"). A node that is not a map is reported and
  /// reads as empty.
  MapReader(const YamlNode& node, std::string what, Report& report);

  const YamlNode* find(std::string_view key);
  const YamlNode* require(std::string_view key);
  void finish();

  const YamlNode& node() const noexcept { return node_; }

 private:
  const YamlNode& node_;
  std::string what_;
  Report& report_;
  std::vector<std::string> known_;
};

}  // namespace sallyport
