package redisstore_test

// evaluation are the scripts that evaluate triggers: what is changed in them is noticed by the comparison with the model.
var evaluation = []string{"partial", "condition", "firing", "shortcut", "join"}

var listedOfTriggers = []mutation{
	{"condition", "drop(partial, node.leaf .. sub(list, found - NAME, found - 1))", ""},
	{"condition", "while at > 0 and tonumber(sub(list, at - width + 1, at - width + TIME)) > step.time do", "while false do"},
	{"condition", "  drop(partial, refs_of(list, node, 1, first - 1))\n", ""},
	{"condition", "if #list < node.count * node.width then", "if #list <= node.count * node.width then"},
	{"condition", "if slot and within > 0 and newest - slot.time > within then", "if slot and within > 0 and newest - slot.time >= within then"},
	{"condition", "if slot and within > 0 and newest - slot.time > within then", "if false then"},
	{"condition", "      set_slot(partial, slots, i, nil)\n    elseif slot then", "      slots[i] = nil\n    elseif slot then"},
	{"condition", "for i = children, 1, -1 do", "for i = 1, children do"},
	{"condition", "(within == 0 or step.time - before.time <= within)", "true"},
	{"condition", "  for i = 1, whole and children or 0 do\n    set_slot(partial, chains, i, nil)\n  end\n", ""},
	{"condition", "    set_slot(partial, slots, ARMED, nil)\n    drop(partial, event.refs)\n", "    drop(partial, event.refs)\n"},
	{"condition", "elseif arming and seen and seen.position < step.position and", "elseif arming and seen and"},
	{"condition", "step.time - seen.time <= node.window then\n    slots[SEEN] = nil", "step.time - seen.time <= node.window then"},
	{"condition", "step.deadline and armed and armed.time == step.time", "step.deadline and armed"},
	{"condition", "if met[number] or step.deadline and node.kind == 'absent' then", "if met[number] then"},
	{"condition", "for number = #nodes, 1, -1 do\n    local node = nodes[number]\n    if met", "for number = 1, #nodes do\n    local node = nodes[number]\n    if met"},
	{"join", "if since and since >= 0 and since < trigger.cooldown then", "if since and since < trigger.cooldown then"},
	{"join", "if since and since >= 0 and since < trigger.cooldown then", "if since and since >= 0 and since <= trigger.cooldown then"},
	{"join", "  drop(partial, occurrence.refs)\nend", "end"},
	{"join", "while at and at < before do", "while at and at <= before do"},
	{"join", "  if partial.next < before then\n    settle(work, partial, before)\n  end\n", ""},
	{"join", "    clear(partial)\n    leaves = sub(leaves, 3)", "    leaves = sub(leaves, 3)"},
	{"join", "if partial.bytes > work.most_bytes or", "if"},
	{"join", "    restore(work, partial, saved)\n", ""},
	{"partial", "useful = last > useful and last or useful", "useful = last"},
	{"partial", "math.max(useful, trigger.ages and partial.last + trigger.cooldown - 1 or NEVER)", "useful"},
	{"partial", "  partial.wiped, partial.parts, partial.bytes = true, {}, 0", "  partial.parts, partial.bytes = {}, 0"},
	{"firing", "hops = math.max(hops, tonumber(more))", "hops = tonumber(more)"},
	{"firing", "local looped = hops > 16", "local looped = hops > 17"},
	{"shortcut", "trigger.nodes[trigger.leaves[leaf]].place == '02'", "true"},
	{"shortcut", "or tonumber(sub(single, 31, 45)) < ms then", "then"},
}
