#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport {

/// What a line of the flow log is about: its event_type.
enum class LoggedEvent : uint8_t { start, verdict, request, end, gap };

/// One line of the flow log, read forgivingly: a member that is missing or odd reads as empty.
/// Texts are as they came from the wire, and may hold any byte: see wire_text().
struct LoggedRecord {
  LoggedEvent event{};
  std::string timestamp;
  uint64_t flow_id = 0;
  std::string src_ip;
  uint64_t src_port = 0;
  std::string dest_ip;
  uint64_t dest_port = 0;
  std::string protocol;  ///< "TCP", "UDP", …
  std::string app;       ///< "tls", "http2", "unknown"; "" where the record does not say.
  std::string name;      ///< Server name, host or DNS name; "" for none.
  std::string action;    ///< "allow", "deny", "pending"; "" of a start.
  bool would_deny = false;
  bool truncated = false;  ///< There was more of a text than the record holds.
  std::string policy;
  std::string rule;
  std::string reason;
  std::string fault;
  std::string revision;
  std::optional<uint64_t> bytes;  ///< Both ways; of an end only.
  std::string spiffe_id;
  // Of a gap.
  uint64_t gap_events = 0;
  std::string gap_cause;
  std::string gap_start;
  std::string gap_end;
  uint64_t core = 0;

  /// Denied, or it would have been but for audit.
  bool denied() const { return action == "deny" || would_deny; }
  /// Whether both are of one flow: ids begin anew when the gateway does.
  bool same_flow(const LoggedRecord& other) const;
};

/// @return the record, or nothing when the line is none.
std::optional<LoggedRecord> read_logged_record(std::string_view line);

/// Text from the wire as printable ASCII without blanks: whatever it holds, it cannot drive a
/// terminal, end a line or look like two columns. Other characters are spelled out, as \x1b,
/// \u{202e} or \\.
std::string wire_text(std::string_view text);

}  // namespace sallyport
