// Loaded into each process of the Static Web Apps emulator (NODE_OPTIONS), whose command line starts its server as another program.
//
// It ends the process when its standard input closes, so that none outlives the program that started the emulator.
process.stdin.resume();
process.stdin.on("end", () => process.exit());
