---@meta broker
-- What scripts of Skep can use, with types for editors (LuaLS and others that read its annotations).
-- docs/lua/reference.md is made from this file: `lua5.4 docs/lua/reference.lua`.

--- # Handlers
--- A script registers its handlers when it is loaded; they cannot be added later. Handlers of one topic run in
--- the order of the scripts in the configuration, and in a script in the order in which they were registered.
--- What a handler returns does not matter.

---@class broker
local broker = {}

--- Calls `fn` for every message a client publishes to a topic that matches the filter, after the
--- broker allowed it. The filter may hold `+` and `#`, and named levels: `sensors/{room}/temp` gives `at.room`;
--- `{rest...}` at the end stands for all levels from there on.
---@param filter string
---@param fn fun(msg: message, at: table<string, string>)
function broker.on_publish(filter, fn) end

--- Calls `fn` before a message goes to a subscriber (`msg.client`); `msg:deny()` withholds it from that one. It is called for
--- each receiver: be brief. Nothing can be changed and nothing can wait here.
---@param filter string
---@param fn fun(msg: message, at: table<string, string>)
function broker.on_deliver(filter, fn) end

--- Calls `fn` for the will of a client that connects: `msg:deny()` refuses the connection.
---@param filter string
---@param fn fun(msg: message, at: table<string, string>)
function broker.on_will(filter, fn) end

--- Calls `fn` when a client wants to connect: say `connect:allow()`, `connect:deny()`, or nothing (the next module is asked).
---@param fn fun(connect: connect)
function broker.on_connect(fn) end

--- Calls `fn` for each step of an enhanced authentication with that method (MQTT 5): say `auth:continue(data)`, `auth:allow(data)` or
--- `auth:deny()`.
---@param method string
---@param fn fun(auth: auth)
function broker.on_auth(method, fn) end

--- Calls `fn` for each filter a client subscribes to, and again when a stored session is resumed.
---@param fn fun(subscribe: subscribe)
function broker.on_subscribe(fn) end

--- Calls `fn` when a client has connected.
---@param fn fun(client: client)
function broker.on_connected(fn) end

--- Calls `fn` when a client's connection has ended, with the reason code and the cause in words.
---@param fn fun(client: client, reason: integer, cause: string)
function broker.on_disconnect(fn) end

--- Calls `fn` when the script is loaded, before any other handler may run. If it fails, the script is not taken up: at a reload
--- the old one goes on.
---@param fn fun()
function broker.selftest(fn) end

--- The value of `option NAME VALUE;` in the `load lua` block, or the default. It is a string.
---@param name string
---@param default? any
---@return any
function broker.option(name, default) end

--- # Messages

--- Publishes a message. It is as if the broker itself had: no access rule is asked.
---@param message new_message
---@return true|nil, string? why why not
function broker.publish(message) end

--- The retained messages that match a filter.
---@param filter string
---@param most? integer at most so many, 100 if not said
---@return received_message[]
function broker.retained(filter, most) end

--- Calls `fn` for every message that matches the filter, whoever publishes it, on one loop. Only while the script is loaded.
---@param filter string
---@param fn fun(message: received_message)
---@param options? { qos: integer }
function broker.subscribe(filter, fn, options) end

--- Publishes a request with a response topic of its own and waits for the reply (MQTT 5 request/response).
---@param message new_message `timeout` is in seconds, 5 if not said
---@return received_message|nil, string? why
function broker.request(message) end

--- # Time

--- Calls `fn` once, so many seconds from now.
---@param seconds number
---@param fn fun()
---@return timer
function broker.after(seconds, fn) end

--- Calls `fn` every so many seconds. A timer made while the script is loaded runs on one loop only.
---@param seconds number
---@param fn fun()
---@return timer
function broker.every(seconds, fn) end

--- Waits. The handler's client waits with it, nobody else.
---@param seconds number
function broker.sleep(seconds) end

--- Seconds since 1970 UTC, with milliseconds.
---@return number
function broker.time() end

--- Seconds on a clock that never jumps, for measuring.
---@return number
function broker.now() end

--- # Clients

--- Ends the connection of a client; false if none is connected under that id.
---@param client_id string
---@param text? string told to MQTT 5 clients
---@return boolean
function broker.kick(client_id, text) end

--- The connected client with that id, or nil.
---@param client_id string
---@return client|nil
function broker.client(client_id) end

--- # Log
--- With more than one argument the first is a format, as for `string.format`. `print` writes to the log, too.

---@class broker.log
broker.log = {}
---@param format any
function broker.log.debug(format, ...) end
---@param format any
function broker.log.info(format, ...) end
---@param format any
function broker.log.warn(format, ...) end
---@param format any
function broker.log.error(format, ...) end

--- # Shared values
--- All scripts on all loops share them; they are gone with the process. Keys are strings of 1 to 500 bytes; values are strings,
--- numbers and booleans (tables: as JSON). Together they hold at most `kv_memory`.

---@class broker.kv
broker.kv = {}
---@param key string
---@return string|number|boolean|nil
function broker.kv.get(key) end
--- `nil` deletes. False and a line when the store is full.
---@param key string
---@param value string|number|boolean|nil
---@param ttl? number seconds after which it is gone
---@return boolean, string?
function broker.kv.set(key, value, ttl) end
---@param key string
---@return boolean
function broker.kv.delete(key) end
--- Adds to a whole number in one step, beginning at 0; `ttl` counts from when it began.
---@param key string
---@param by? integer 1 if not said
---@param ttl? number
---@return integer|nil, string?
function broker.kv.add(key, by, ttl) end
--- Sets the value only if it is `old` now (nil: not there), in one step.
---@param key string
---@param old string|number|boolean|nil
---@param value string|number|boolean|nil
---@param ttl? number
---@return boolean, string?
function broker.kv.swap(key, old, value, ttl) end

--- # HTTP

---@class broker.http
broker.http = {}
--- Asks an HTTP server and waits for its answer; nil and a line when there was none.
---@param request http_request
---@return http_reply|nil, string?
function broker.http.request(request) end
---@param text string
---@return string
function broker.http.url_encode(text) end

---@class http_request
---@field url string
---@field method? string GET, or POST with a body
---@field headers? table<string, string>
---@field body? string
---@field content_type? string
---@field timeout? number seconds, 10 if not said
---@field ca? string file of authorities for https

---@class http_reply
---@field status integer
---@field body string

--- # Metrics
--- They show up beside the broker's own, with a label that names the script. Made while the script is loaded.

---@class broker.metric
broker.metric = {}
---@param name string
---@param help? string
---@return counter
function broker.metric.counter(name, help) end
---@param name string
---@param help? string
---@return gauge
function broker.metric.gauge(name, help) end

---@class counter
local counter = {}
---@param n? integer
function counter:add(n) end

---@class gauge
local gauge = {}
---@param value number
function gauge:set(value) end
---@param by number
function gauge:add(by) end

--- # JSON
--- `broker.json` is also `require "broker.json"`.

---@class broker.json
---@field null userdata stands for JSON's null
broker.json = {}
--- nil and a line when it is not JSON.
---@param text string
---@return any, string?
function broker.json.decode(text) end
---@param value any
---@param pretty? boolean
---@return string
function broker.json.encode(value, pretty) end
--- Marks a table as an array, so that an empty one becomes `[]`.
---@param list? table
---@return table
function broker.json.array(list) end

--- # Bytes
--- `broker.bytes` is also `require "broker.bytes"`. Lua's own `string.pack` and `string.unpack` are there as well.

---@alias digest "sha256"|"sha512"|"sha1"|"md5"

---@class broker.bytes
broker.bytes = {}
---@param bytes string
---@return string
function broker.bytes.base64_encode(bytes) end
--- Also takes the alphabet for URLs, and text without padding. nil: not base64.
---@param text string
---@return string|nil
function broker.bytes.base64_decode(text) end
---@param bytes string
---@return string
function broker.bytes.hex_encode(bytes) end
---@param text string
---@return string|nil
function broker.bytes.hex_decode(text) end
---@param digest digest
---@param bytes string
---@return string bytes
function broker.bytes.hash(digest, bytes) end
---@param digest digest
---@param key string
---@param bytes string
---@return string bytes
function broker.bytes.hmac(digest, key, bytes) end
--- Compares in a time that depends on the lengths only.
---@param a string
---@param b string
---@return boolean
function broker.bytes.equal(a, b) end
---@param n integer 1 to 256
---@return string bytes
function broker.bytes.random(n) end

--- # What handlers get
--- An object is valid until its handler has returned; a client may be kept.

--- Fields may be set in `on_publish`; nil takes a property away. Nothing is changed if the handler fails.
---@class message
---@field topic string
---@field payload string
---@field qos integer
---@field retain boolean
---@field expiry integer|nil seconds
---@field content_type string|nil
---@field response_topic string|nil
---@field correlation_data string|nil
---@field user_properties string[][] list of { name, value }
---@field client client|nil who published it; in on_deliver, who would get it
---@field is_will boolean
local message = {}
--- Accepts the message and gives it to nobody; counted, with the reason.
---@param why? string
function message:drop(why) end
--- Refuses it: the publisher learns the reason code where MQTT can say it.
---@param why? string
---@param reason? integer 0x87 (not authorized) if not said
function message:deny(why, reason) end
--- Sends it to another topic; with several, each gets a copy.
---@param topic string
---@param ... string
function message:route(topic, ...) end
--- The payload as JSON, decoded once; nil and a line if it is not.
---@return any, string?
function message:json() end

---@class connect
---@field client_id string
---@field username string|nil
---@field password string|nil
---@field clean_start boolean
---@field keep_alive integer
---@field client client
local connect = {}
function connect:allow() end
---@param why? string
---@param reason? integer 0x86 (bad user name or password) if not said
function connect:deny(why, reason) end
---@param name string
function connect:set_username(name) end
---@param name string
---@param value string
function connect:set_attribute(name, value) end
--- A rule for this connection alone, asked before all others; the first that matches decides.
---@param verdict "allow"|"deny"
---@param action "publish"|"subscribe"|"receive"|"all"
---@param filter string may hold %c and %u
function connect:rule(verdict, action, filter) end

---@class auth
---@field method string
---@field data string what the client sent
---@field round integer 0 for the first step
---@field reauth boolean the client is connected already and proves itself again
---@field client_id string
---@field client client
---@field state any a value of yours that stays until the exchange is over
local auth = {}
--- Sends data to the client and waits for its answer.
---@param data string
function auth:continue(data) end
---@param data? string
function auth:allow(data) end
---@param why? string
function auth:deny(why) end
---@param name string
function auth:set_username(name) end

---@class subscribe
---@field filter string
---@field group string|nil of a shared subscription
---@field qos integer may be lowered
---@field resumed boolean
---@field client client
local subscribe = {}
function subscribe:allow() end
---@param why? string
---@param reason? integer
function subscribe:deny(why, reason) end

---@class client
---@field id string
---@field username string|nil
---@field address string|nil
---@field host string|nil
---@field listener string|nil
---@field protocol integer 3, 4 or 5
---@field tls boolean
---@field cert_cn string|nil
---@field connected_at number
---@field attributes table<string, string>

---@class timer
local timer = {}
function timer:cancel() end

---@class new_message
---@field topic string
---@field payload? string
---@field qos? integer
---@field retain? boolean
---@field expiry? integer
---@field content_type? string
---@field response_topic? string
---@field correlation_data? string
---@field user_properties? string[][]
---@field timeout? number of broker.request

---@class received_message
---@field topic string
---@field payload string
---@field qos integer
---@field retain boolean
---@field expiry integer|nil
---@field content_type string|nil
---@field response_topic string|nil
---@field correlation_data string|nil
---@field user_properties string[][]

return broker
