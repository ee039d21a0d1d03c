// Loaded into each process of the Static Web Apps emulator (NODE_OPTIONS): its command line starts its server as a program of its own.
//
// It ends when its standard input does, so that nothing of it outlives the program that started it.
process.stdin.resume();
process.stdin.on("end", () => process.exit());
