"""digits and pack: a reduction's index in another order of digits, its constant operand as well."""
