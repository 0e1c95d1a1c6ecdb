-- SPDX-License-Identifier: Apache-2.0
-- Word frequencies, a queens solver, coroutines, string formats, closures, files: prints only what is the same everywhere.
local function queens(n)
	local found, cols, up, down = 0, {}, {}, {}
	local function place(row)
		if row > n then found = found + 1 return end
		for c = 1, n do
			if not cols[c] and not up[row + c] and not down[row - c] then
				cols[c], up[row + c], down[row - c] = true, true, true
				place(row + 1)
				cols[c], up[row + c], down[row - c] = nil, nil, nil
			end
		end
	end
	place(1)
	return found
end

print("queens", queens(8))

local counts, order = {}, {}
for line in io.lines(arg[1]) do
	for word in line:gmatch("%a+") do
		word = word:lower()
		if not counts[word] then counts[word] = 0 order[#order + 1] = word end
		counts[word] = counts[word] + 1
	end
end
table.sort(order, function(a, b) if counts[a] ~= counts[b] then return counts[a] > counts[b] end return a < b end)
for i = 1, math.min(10, #order) do print(order[i], counts[order[i]]) end

local primes = coroutine.wrap(function()
	local n, seen = 2, {}
	while true do
		local prime = true
		for _, p in ipairs(seen) do
			if p * p > n then break end
			if n % p == 0 then prime = false break end
		end
		if prime then seen[#seen + 1] = n coroutine.yield(n) end
		n = n + 1
	end
end)
local sum = 0
for _ = 1, 1000 do sum = sum + primes() end
print("primes", sum, string.format("%.6f %5d %-6s| %q %x", math.pi, 42, "left", "a\nb", 255))

local name = os.tmpname()
local file = assert(io.open(name, "w"))
for i = 1, 1000 do file:write(i, " ", i * i, "\n") end
file:close()
local total = 0
for line in io.lines(name) do total = total + tonumber(line:match("%d+ (%d+)")) end
assert(os.remove(name))
print("file", total, (io.open(name)))
print(pcall(error, {code = 1}) , select("#", table.unpack({1, 2, nil, 4}, 1, 4)))
print(os.date("!%Y-%m-%d %H:%M:%S", 86400 * 365), os.getenv("NO_SUCH_VARIABLE"))
os.exit(7)
